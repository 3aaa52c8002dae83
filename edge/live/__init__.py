"""edge.live"""
