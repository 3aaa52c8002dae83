"""training.photos"""
