"""The second step: a small forest."""

from typing import Annotated

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from zenml import step


@step
def train(x: np.ndarray, y: np.ndarray, trees: int = 10) -> Annotated[ClassifierMixin, "model"]:
    """Learns to tell the flowers apart."""
    model = RandomForestClassifier(n_estimators=trees, random_state=7)
    model.fit(x, y)
    return model
