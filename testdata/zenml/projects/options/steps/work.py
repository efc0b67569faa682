from zenml import step


@step
def fetch() -> int:
    return 1


@step
def clean(data: int) -> int:
    return data
