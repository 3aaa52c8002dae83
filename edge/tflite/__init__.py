"""edge.tflite"""
