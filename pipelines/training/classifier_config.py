"""Settings of the classifier's training; importing them does not load torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything that decides what a classifier run learns. None of it comes from a paper: found here, on a CPU.

    Attributes:
        blocks: widths of the VGG backbone, one tuple a block.
        taps: its layers that the dense term, and later OEFT, compare.
        size: side of a training view, pixels.
        batch_size: pictures of one step over all processes; with the dense term each gives two views.
        steps: length of the cosine schedule.
        optimizer: "adamw" or "sgd" (Nesterov, momentum 0.9).
        lr: peak learning rate.
        warmup_steps: steps of linear warm-up.
        weight_decay: of convolution and linear weights; norms and biases have none.
        label_smoothing: 0..1.
        crop_scale: share of a picture's area that a view keeps, lowest and highest.
        color_jitter: strength of the photometric changes, 0..1.
        ema_decay: of the averaged weights, which are those that are measured and saved.
        dense_weight: factor of the dense term; 0 leaves it and the second view out.
        dense_points: places a picture that the dense term compares.
        dense_temperature: tau of its InfoNCE.
        motion_degrees, motion_zoom, motion_shift: how far the second view is turned, scaled and moved.
        precision: "bf16" (autocast) or "fp32".
        seed: of initial weights, order, views and split.
    """

    blocks: tuple[tuple[int, ...], ...] = ((32, 32), (64, 64), (128, 128), (256, 256), (256, 256))
    taps: tuple[str, ...] = ("relu2_2", "relu3_2", "relu4_2", "relu5_2")
    size: int = 112
    batch_size: int = 48
    steps: int = 2000
    optimizer: str = "adamw"
    lr: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    crop_scale: tuple[float, float] = (0.35, 1.0)
    color_jitter: float = 1.0
    ema_decay: float = 0.998
    dense_weight: float = 0.5
    dense_points: int = 256
    dense_temperature: float = 0.07
    motion_degrees: float = 20.0
    motion_zoom: float = 1.4
    motion_shift: float = 0.25
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        """Refuse what no run can use, naming the field."""
        for name, accepted in (("optimizer", ("adamw", "sgd")), ("precision", ("bf16", "fp32"))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(accepted)}")
        for name in ("size", "batch_size", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        layers = [f"relu{i}_{j}" for i, block in enumerate(self.blocks, 1) for j in range(1, len(block) + 1)]
        unknown = [tap for tap in self.taps if tap not in layers]
        if unknown or self.taps[-1] != layers[-1]:
            raise ValueError(
                f"taps is {','.join(self.taps)}; these blocks have {','.join(layers)}, "
                f"and the head needs the last one, {layers[-1]}"
            )
