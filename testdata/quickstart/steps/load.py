"""The first step: the flowers, as they come with scikit-learn (no network)."""

from typing import Annotated

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from zenml import step


@step
def load(
    held_back: float = 0.4,
) -> tuple[
    Annotated[np.ndarray, "train_x"],
    Annotated[np.ndarray, "train_y"],
    Annotated[np.ndarray, "test_x"],
    Annotated[np.ndarray, "test_y"],
]:
    """Splits the flowers into those to learn from and those held back."""
    x, y = load_iris(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=held_back, random_state=7, stratify=y)
    return train_x, train_y, test_x, test_y
