"""A pipeline and its steps that get their settings with with_options."""

from steps.work import clean, fetch
from zenml import pipeline
from zenml.config import DockerSettings


@pipeline(settings={"docker": DockerSettings(requirements=["numpy"], target_repository="team/flow")})
def flow() -> None:
    data = fetch()
    clean.with_options(settings={"docker": {"apt_packages": ["curl"]}})(data)
    clean(data)


# What is built: other settings of the pipeline, and of a step by its name.
configured = flow.with_options(
    settings={"docker": DockerSettings(requirements=["numpy", "scipy"], environment={"retries": 3})},
    steps={"fetch": {"settings": {"docker": {"environment": {"source": "a b"}}}}},
)
