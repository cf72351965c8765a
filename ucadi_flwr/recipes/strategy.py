"""The strategy recipe: cohort, weights, aggregation, personalisation, protection and quorum.

S0 = Bai et al. 2021; S1 = Xu et al. 2020; S2 = Yang et al., federated transfer learning.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ucadi_flwr.limits import RECIPE_LAYERS
from ucadi_flwr.recipes.base import Name, StrictSection


class Average(StrictSection):
    """The new global model is the weighted mean (McMahan et al. 2017, FedAvg)."""

    name: Literal["average"]


class FedAvgM(StrictSection):
    """Server momentum on the pseudo-gradient (Hsu et al. 2019)."""

    name: Literal["fedavgm"]
    learning_rate: float = Field(1.0, gt=0.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)


class FedAdam(StrictSection):
    """Adam on the pseudo-gradient (Reddi et al. 2021, algorithm 2)."""

    name: Literal["fedadam"]
    learning_rate: float = Field(0.01, gt=0.0)
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.99, ge=0.0, lt=1.0)
    tau: float = Field(1e-3, gt=0.0, description="adaptivity; smaller is more adaptive")


class Protection(StrictSection):
    """Encryption of what sites send; ``protection: bfv`` means ``protection: {scheme: bfv}``."""

    scheme: Literal["none", "bfv", "ckks"] = Field(
        "none", description="bfv: exact sums of ciphertexts; ckks: approximate ones"
    )
    values_per_slot: Literal[2, 3, 4] = Field(
        3, description="bfv only: more values mean fewer bytes and a coarser fixed point"
    )
    weights: Literal["public", "encrypted"] = Field(
        "public", description="encrypted: the server learns no data-set size"
    )
    metrics: Literal["public", "encrypted"] = Field(
        "public", description="encrypted: the server also cannot read losses and test counts"
    )
    max_sites: int = Field(128, ge=2, le=1024, description="largest number of sites in one sum")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        return {"scheme": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _options_fit_the_scheme(self) -> Self:
        if self.scheme == "none" and "encrypted" in (self.weights, self.metrics):
            raise ValueError("scheme none encrypts neither weights nor metrics; choose bfv")
        if self.scheme != "bfv" and self.values_per_slot != 3:
            raise ValueError(f"values-per-slot is for bfv; leave it out with {self.scheme}")
        return self


class Alignment(StrictSection):
    """CORAL: add μ · ‖C_S − C_T‖²_F / (4 d²) of the logits to the loss (S2, eqs. 4 and 5)."""

    mu: float = Field(ge=0.0, description="μ at the first step; 0 leaves the term out")
    decay: Literal["linear", "exponential"] = Field(
        "linear", description="to 0, or to a hundredth, at the last step (S2 gives no schedule)"
    )


class Personalisation(StrictSection):
    """S2: after the last round, every training site trains its own copy and keeps it."""

    epochs: int = Field(ge=1, le=10_000, description="epochs on the site's training cases")
    fine_tune: str = Field(
        "head",
        pattern=r"^(head|all|from \S+)$",
        description="what trains: the last two dense layers, all, or a layer and all later ones",
    )
    learning_rate: float | None = Field(None, gt=0.0, description="peak; default: the task's")
    alignment: Alignment | None = None


class Selection(StrictSection):
    """S2: which sites train in a round. The other sites are still tested."""

    policy: Literal["all", "random", "capacity"] = Field(
        "all",
        description="capacity: the fastest sites, and the most accurate ones if losses are public",
    )
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="of the sites that are present")
    at_least_every: int = Field(
        1, ge=1, le=10_000, description="a present site trains at least once in this many rounds"
    )

    @model_validator(mode="after")
    def _options_fit_the_policy(self) -> Self:
        if self.policy == "all" and (self.fraction, self.at_least_every) != (1.0, 1):
            raise ValueError("policy all selects every site: remove fraction and at-least-every")
        if self.policy != "all" and self.fraction == 1.0:
            raise ValueError(f"policy {self.policy} with all sites is policy all: set fraction < 1")
        if self.policy != "all" and self.at_least_every < 2:
            raise ValueError(
                f"policy {self.policy} with at-least-every 1 selects every site: set 2 or more"
            )
        return self


def _known_part(choice: Any) -> str | tuple[str, ...]:
    if choice in ("none", "normalisation", "head"):
        return str(choice)
    layers = tuple(choice) if isinstance(choice, list | tuple) else ()
    if not 0 < len(layers) <= RECIPE_LAYERS or not all(isinstance(n, str) and n for n in layers):
        raise ValueError(
            f"{str(choice)[:64]!r} is not a part of a network: write none, normalisation, head or "
            "a list of layers"
        )
    return layers


class StrategyRecipe(StrictSection):
    """One way in which sites train together. ``strategies/*.yaml`` are strategy recipes."""

    schema_version: Literal[1]
    name: Name
    summary: str = Field(min_length=1)
    cohort: Literal["all", "each-site", "pooled"] = Field(
        "all",
        description="all: one model of all sites; each-site: one model of each site alone; pooled: "
        "one model of their pooled data",
    )
    weights: Literal["size-epochs", "equal"] = Field(
        "size-epochs",
        description="a site's weight: n_k × E_k (S0), or the same for all (S1)",
    )
    local_epochs: int = Field(1, ge=1, le=10_000, description="E_k, epochs in each round")
    proximal_mu: float = Field(0.0, ge=0.0, description="FedProx's μ; 0 is FedAvg")
    server_optimizer: Annotated[Average | FedAvgM | FedAdam, Field(discriminator="name")] = Average(
        name="average"
    )
    local: Annotated[str | tuple[str, ...], BeforeValidator(_known_part)] = Field(
        "none",
        description="tensors that stay at a site: none, normalisation (FedBN), head, or layers",
    )
    personalisation: Personalisation | None = Field(
        None,
        alias="tailoring",  # the key in dumps and digests; recipes may also write personalisation
        description="each site trains its own model after the rounds",
    )
    selection: Selection = Selection(policy="all")
    protection: Protection = Protection(scheme="none")
    min_sites: int = Field(
        2,
        ge=1,
        description="the quorum of replies in a round; default with encryption: 3",
    )
    wait_for_sites: float = Field(120.0, gt=0.0, description="seconds to wait for the quorum")
    round_timeout: float = Field(
        86_400.0, gt=0.0, description="seconds after which a round ends without the late sites"
    )

    @model_validator(mode="before")
    @classmethod
    def _personalisation_is_tailoring(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "personalisation" not in values:
            return values
        if "tailoring" in values:
            raise ValueError("personalisation and tailoring are one section: write one of them")
        return {"tailoring" if key == "personalisation" else key: v for key, v in values.items()}

    @model_validator(mode="before")
    @classmethod
    def _three_under_encryption(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "min-sites" in values:
            return values
        protection = values.get("protection")
        scheme = protection.get("scheme") if isinstance(protection, dict) else protection
        return values | {"min-sites": 3} if scheme in ("bfv", "ckks") else values

    @model_validator(mode="after")
    def _sections_fit_the_cohort(self) -> Self:
        if self.cohort != "all":
            if self.min_sites != 1:
                raise ValueError(
                    f"cohort {self.cohort} trains without a quorum: write min-sites: 1"
                )
            if self.server_optimizer.name != "average" or self.proximal_mu:
                raise ValueError(
                    f"cohort {self.cohort} aggregates no models: remove server-optimizer and "
                    "proximal-mu"
                )
            if self.local != "none" or self.personalisation or self.selection.policy != "all":
                raise ValueError(
                    f"cohort {self.cohort} makes no model of all sites: remove local, tailoring "
                    "and selection"
                )
        if self.protection.scheme != "none":
            if self.cohort != "all":
                raise ValueError(
                    f"cohort {self.cohort} adds up no models, so there is nothing to protect: "
                    "remove protection"
                )
            if not 1 < self.min_sites <= self.protection.max_sites:
                raise ValueError(
                    f"min-sites {self.min_sites} cannot be used with encryption: it must be at "
                    f"least 2, since the sum of one site is its model, and at most max-sites, "
                    f"{self.protection.max_sites}"
                )
        return self
