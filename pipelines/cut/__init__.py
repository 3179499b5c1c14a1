"""CUT, FastCUT and CycleGAN: unpaired translation."""
