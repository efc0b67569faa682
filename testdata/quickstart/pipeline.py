"""The training pipeline: three steps."""

from steps.evaluate import evaluate
from steps.load import load
from steps.train import train
from zenml import pipeline


@pipeline
def training() -> None:
    train_x, train_y, test_x, test_y = load()
    model = train(train_x, train_y)
    evaluate(model, test_x, test_y)
