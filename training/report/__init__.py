"""training.report"""
