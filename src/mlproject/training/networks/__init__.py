"""Whole networks: tasks, the training loop, its state and checkpoint, augmentation, contrastive terms."""
