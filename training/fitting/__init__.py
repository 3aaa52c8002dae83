"""training.fitting"""
