"""Training of classifiers, one module per engine and subject; TensorFlow is imported when a training starts."""

from ntupleml.training.keras_training import TrainingOptions, train_keras

__all__ = ["TrainingOptions", "train_keras"]
