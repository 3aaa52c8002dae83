"""training.garden"""
