"""Settings on the pipeline and on steps, in Python."""

from steps.train import evaluate, train
from zenml import pipeline, step
from zenml.config import DockerSettings


@step
def load() -> int:
    return 1


@pipeline(
    name="forecast",
    enable_cache=False,
    settings={
        "docker": DockerSettings(
            requirements=["scikit-learn", "pandas"],
            apt_packages=["git"],
            environment={"stage": "train", "threads": 2},
            dockerignore="ignore.txt",
        )
    },
)
def forecast(trees: int = 10):
    data = load()
    model = train(data, trees)
    evaluate(model)
    evaluate(data)


if __name__ == "__main__":
    forecast()
