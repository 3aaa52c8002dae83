"""training.network"""
