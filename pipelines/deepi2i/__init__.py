"""DeepI2I: many-class translation by transfer from pretrained GANs (Wang et al., arXiv 2011.05867)."""
