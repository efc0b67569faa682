from zenml import step
from zenml.config import DockerSettings

# A step's settings are merged into the pipeline's; lists replace.
gpu = DockerSettings(requirements=["xgboost"], environment={"threads": 8}, user="games")


@step(settings={"docker": gpu})
def train(data: int, trees: int) -> int:
    return data * trees


@step
def evaluate(model: int) -> None:
    print(model)
