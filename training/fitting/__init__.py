"""Weights change here, and nowhere else in training.

augmentation  cached photos varied into batches
cache         photos decoded once, on disk
checkpoint    the state between two epochs
closing       the figures, plots and report of a finished run
fit           the whole training: photos in, a run folder out
keeping       fine-tuning that stays near what the pretrained network knows
phase         one phase: epochs of steps, a validated average, a checkpoint after each

To add an augmentation: `augmentation.augment`, drawn from (seed, epoch, photo) alone.
"""
