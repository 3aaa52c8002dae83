"""A network learns from another.

distill       one distillation: lessons in, a taught network out
lessons       augmented photos with the teacher's answers, kept on disk
teacher       who teaches whom in an export, for how long, from where it broke off

To add a way of teaching: a file here, its epochs in `export.presets.Plan`.
"""
