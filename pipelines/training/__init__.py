"""Training: one loop for every trainer, exact resume, data, augmentation and the classifier."""
