"""Training of classifiers, one module per engine and subject; TensorFlow is imported when a training starts."""

from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.keras_training import train_keras

__all__ = ["TrainingOptions", "train_keras"]
