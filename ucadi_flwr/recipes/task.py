"""The task recipe: classes, images, network, and local training.

S0 = Bai et al. 2021 (Nature Machine Intelligence), whose training recipe is the default here;
S1 = Xu et al. 2020; S2 = Yang et al., federated transfer learning.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ucadi_flwr.recipes.base import Label, Name, StrictSection

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Voxels = Annotated[int, Field(ge=8, le=1024)]

S0_WINDOW_HU = (-1200.0, 600.0)
"""HU outside are clipped (S0 Methods)."""

VGG_SIDE = 32
"""Smallest side of VGG16's images, pixels: five poolings halve it five times."""


class DenseNet3dOptions(StrictSection):
    """S0's 3D-DenseNet; the defaults are the paper's."""

    name: Literal["densenet3d"]
    width: int = Field(32, ge=1, le=512, description="channels of the stem")
    growth: int = Field(32, ge=1, le=512, description="channels that each dense block adds")
    negative_slope: float = Field(0.2, ge=0.0, lt=1.0, description="of LeakyReLU (S0: 0.2)")
    dropblock: float = Field(0.5, ge=0.0, lt=1.0, description="final p of the tail's DropBlock")
    dropblock_calls: int = Field(5000, ge=1, description="training batches until that p is reached")


class ResNet18Options(StrictSection):
    """MONAI's 2D ResNet-18 with a stride-2 stem."""

    name: Literal["resnet18"]


class Vgg16Options(StrictSection):
    """VGG16 (Simonyan and Zisserman 2015) for X-rays and CT slices, as in S2."""

    name: Literal["vgg16"]
    width: int = Field(64, ge=1, le=256, description="channels of the first stage; the paper's: 64")


class CtVolume(StrictSection):
    """A chest CT in HU, read as `(1, D, H, W)`.

    The steps in S0's order: window, z-score, adaptive sampling of D slices, in-plane resize.
    """

    kind: Literal["ct-volume"]
    size: tuple[
        Annotated[int, Field(ge=8, le=512)],
        Annotated[int, Field(ge=16, le=1024)],
        Annotated[int, Field(ge=16, le=1024)],
    ] = (16, 128, 128)
    window_hu: tuple[float, float] = S0_WINDOW_HU
    mean_hu: float = -604.2288900583559
    sd_hu: Positive = 489.42172740885655
    test_samples: int = Field(5, ge=1, le=64, description="slice samples averaged per test CT")

    @model_validator(mode="after")
    def _window_has_width(self) -> Self:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError("window-hu must be [low, high] with low < high, in HU")
        return self


class GreyImage(StrictSection):
    """A radiograph or slice, read as `(1, H, W)`: resized, then z-scored by its own statistics."""

    kind: Literal["grey-image"]
    size: tuple[Annotated[int, Field(ge=16, le=2048)], Annotated[int, Field(ge=16, le=2048)]]


class Augmentation(StrictSection):
    """One random MONAI transform, by class name and arguments; it is applied in training only."""

    name: Annotated[str, Field(pattern=r"^Rand[A-Za-z0-9]+$")]
    args: dict[str, bool | int | float | str | list[int] | list[float]] = Field({})


class OversamplingTransform(StrictSection):
    """One random MONAI transform of oversampled cases; it keeps the image's size."""

    name: Literal[
        "RandAdjustContrast",
        "RandAffine",
        "RandFlip",
        "RandGaussianNoise",
        "RandGaussianSmooth",
        "RandRotate",
        "RandScaleIntensity",
        "RandShiftIntensity",
        "RandZoom",
    ]
    args: dict[str, bool | int | float | str | list[int] | list[float]] = Field({})


class Balance(StrictSection):
    """Balance classes by oversampling with augmentation (S2); every round draws other cases.

    A site's weight in the aggregate stays its number of cases without oversampling.
    """

    rates: dict[Label, Annotated[float, Field(ge=1.0, le=100.0)]] = Field(
        {},
        description="class → factor of its number of cases; equal, or no rates: every class grows "
        "to the site's most frequent one",
    )
    transforms: tuple[OversamplingTransform, ...] = Field(
        min_length=1, max_length=16, description="of the oversampled cases, in this order"
    )

    @field_validator("rates", mode="before")
    @classmethod
    def _equal(cls, rates: Any) -> Any:
        return {} if rates == "equal" else rates


class Split(StrictSection):
    """How a site divides its patients if its manifest has no column split."""

    test: Share = 0.2
    validation: float = Field(0.0, ge=0.0, lt=1.0, description="share of the patients; S0: folds")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.test + self.validation >= 1.0:
            raise ValueError("split.test + split.validation must leave patients to train on (< 1)")
        return self


class Training(StrictSection):
    """Local training: SGD with momentum, linear warm-up, cosine to zero, weighted cross-entropy.

    Biases and normalisation parameters are exempt from weight decay.
    """

    epochs: int = Field(100, ge=1, le=100_000, description="epochs at each site over the whole run")
    batch_size: int = Field(16, ge=1, le=4096)
    learning_rate: Positive = 0.01
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(4e-5, ge=0.0)
    warmup: float = Field(0.05, ge=0.0, lt=1.0, description="share of the epochs (S0: 5 of 100)")
    class_weights: tuple[Positive, ...] | None = Field(None, description="of the cross-entropy")
    balance: Balance | None = None


class Phantom(StrictSection):
    """The built-in phantom, which is used without ``--data``."""

    sites: int = Field(3, ge=1, le=1000)
    cases_per_site: int = Field(40, ge=8, le=100_000)
    size: tuple[Voxels, Voxels, Voxels] = (16, 128, 128)
    seed: int = Field(0, ge=0)


class TaskRecipe(StrictSection):
    """One diagnostic task. ``tasks/*.yaml`` hold these."""

    schema_version: Literal[1]
    name: Name
    summary: str = Field(min_length=1)
    classes: tuple[Label, ...] = Field(min_length=2, max_length=64)
    positive_class: Label = Field(
        description="decision: argmax is this class; score: its probability"
    )
    labels: dict[Label, Label] = Field({}, description="manifest label → class, where they differ")
    model: Annotated[
        DenseNet3dOptions | ResNet18Options | Vgg16Options, Field(discriminator="name")
    ]
    images: Annotated[CtVolume | GreyImage, Field(discriminator="kind")]
    augmentation: tuple[Augmentation, ...] = ()
    one_class_sites: Literal["refuse", "allow"] = "refuse"
    split: Split = Split()
    training: Training = Training()
    phantom: Phantom | None = None

    @property
    def class_of(self) -> dict[str, int]:
        """Manifest label → class index, the classes' own names included."""
        index = {name: i for i, name in enumerate(self.classes)}
        return index | {label: index[name] for label, name in self.labels.items()}

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: each class may appear once")
        for name in (self.positive_class, *self.labels.values()):
            if name not in self.classes:
                raise ValueError(f"'{name}' is not one of the classes {', '.join(self.classes)}")
        weights = self.training.class_weights
        if weights is not None and len(weights) != len(self.classes):
            raise ValueError(
                f"training.class-weights has {len(weights)} values for {len(self.classes)} classes"
            )
        balance = self.training.balance
        for name in balance.rates if balance else ():
            if name not in self.classes:
                raise ValueError(
                    f"training.balance.rates: '{name}' is not one of the classes "
                    f"{', '.join(self.classes)}"
                )
        volume = isinstance(self.images, CtVolume)
        if volume != isinstance(self.model, DenseNet3dOptions):
            raise ValueError(
                f"model {self.model.name} does not take images of kind {self.images.kind}"
            )
        if isinstance(self.model, Vgg16Options) and min(self.images.size) < VGG_SIDE:
            raise ValueError(f"model vgg16 needs images of {VGG_SIDE} × {VGG_SIDE} pixels or more")
        if self.phantom is not None and not volume:
            raise ValueError("phantom: only tasks on ct-volume images have one")
        return self
