"""edge.evaluation"""
