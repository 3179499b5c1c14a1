"""SinCUT: translation between two single pictures."""
