"""The strategy recipe: who learns together, what a site's answer weighs, when a round counts."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ucadi_flwr.files.limits import RECIPE_LAYERS
from ucadi_flwr.recipes.base import Name, Section


class Average(Section):
    """The new global model is the weighted mean (McMahan et al. 2017, FedAvg)."""

    name: Literal["average"]


class FedAvgM(Section):
    """Server momentum on the pseudo-gradient (Hsu et al. 2019)."""

    name: Literal["fedavgm"]
    learning_rate: float = Field(1.0, gt=0.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)


class FedAdam(Section):
    """Adam on the pseudo-gradient (Reddi et al. 2021, algorithm 2)."""

    name: Literal["fedadam"]
    learning_rate: float = Field(0.01, gt=0.0)
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.99, ge=0.0, lt=1.0)
    tau: float = Field(1e-3, gt=0.0, description="adaptivity: smaller follows the variance more")


class Protection(Section):
    """What the server can read; ``protection: bfv`` is short for ``protection: {scheme: bfv}``."""

    scheme: Literal["none", "bfv", "ckks"] = Field(
        "none", description="bfv: exact sums of ciphertexts; ckks: approximate ones"
    )
    values_per_slot: Literal[2, 3, 4] = Field(
        3, description="bfv only: more values are fewer bytes and a coarser fixed point"
    )
    weights: Literal["public", "encrypted"] = Field(
        "public", description="encrypted: the server learns no data-set size"
    )
    metrics: Literal["public", "encrypted"] = Field(
        "public", description="encrypted: losses and test counts are summed unread too"
    )
    max_sites: int = Field(128, ge=2, le=1024, description="sites that one sum has room for")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        return {"scheme": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _nothing_for_nothing(self) -> Self:
        if self.scheme == "none" and "encrypted" in (self.weights, self.metrics):
            raise ValueError("scheme none encrypts neither weights nor metrics; choose bfv")
        if self.scheme != "bfv" and self.values_per_slot != 3:
            raise ValueError(f"values-per-slot is for bfv; leave it out with {self.scheme}")
        return self


class Alignment(Section):
    """CORAL: μ · ‖C_S − C_T‖²_F / (4 d²) beside the loss, of the logits (S2, eqs. 4 and 5)."""

    mu: float = Field(ge=0.0, description="at the first step; 0 leaves the term out")
    decay: Literal["linear", "exponential"] = Field(
        "linear", description="to 0, or to a hundredth, at the last step (S2 gives no schedule)"
    )


class Personalisation(Section):
    """S2: after the last round every site that trains makes the model its own, and keeps it."""

    epochs: int = Field(ge=1, le=10_000, description="epochs on the site's training cases")
    fine_tune: str = Field(
        "head",
        pattern=r"^(head|all|from \S+)$",
        description="what trains: the last two dense layers, all, or a layer and those after it",
    )
    learning_rate: float | None = Field(None, gt=0.0, description="peak; unless given, the task's")
    alignment: Alignment | None = None


class Selection(Section):
    """S2: who takes part in a round. Sites that are left out are still tested."""

    policy: Literal["all", "random", "capacity"] = Field(
        "all", description="capacity: the fastest, and where losses are public the most accurate"
    )
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="of the sites that are present")
    at_least_every: int = Field(
        1, ge=1, le=10_000, description="no present site is left out of so many rounds in a row"
    )

    @model_validator(mode="after")
    def _a_choice_is_a_part(self) -> Self:
        if self.policy == "all" and (self.fraction, self.at_least_every) != (1.0, 1):
            raise ValueError("policy all leaves nobody out: leave out fraction and at-least-every")
        if self.policy != "all" and self.fraction == 1.0:
            raise ValueError(f"policy {self.policy} with all sites is policy all: set fraction < 1")
        if self.policy != "all" and self.at_least_every < 2:
            raise ValueError(
                f"policy {self.policy} with at-least-every 1 leaves nobody out: set 2 or more"
            )
        return self


def _known_part(choice: Any) -> str | tuple[str, ...]:
    if choice in ("none", "normalisation", "head"):
        return str(choice)
    layers = tuple(choice) if isinstance(choice, list | tuple) else ()
    if not 0 < len(layers) <= RECIPE_LAYERS or not all(isinstance(n, str) and n for n in layers):
        raise ValueError(
            f"{str(choice)[:64]!r} is no part of a network: write none, normalisation, head or a "
            "list of layers"
        )
    return layers


class StrategyRecipe(Section):
    """One way for sites to learn. ``strategies/*.yaml`` hold these."""

    schema_version: Literal[1]
    name: Name
    summary: str = Field(min_length=1)
    cohort: Literal["all", "each-site", "pooled"] = Field(
        "all",
        description="one model of all sites; one of each site alone; one of their pooled data",
    )
    weights: Literal["size-epochs", "equal"] = Field(
        "size-epochs", description="an answer weighs n_k × E_k (S0), or every answer the same (S1)"
    )
    local_epochs: int = Field(1, ge=1, le=10_000, description="E_k, epochs between two rounds")
    proximal_mu: float = Field(0.0, ge=0.0, description="FedProx's μ; 0 is FedAvg")
    server_optimizer: Annotated[Average | FedAvgM | FedAdam, Field(discriminator="name")] = Average(
        name="average"
    )
    local: Annotated[str | tuple[str, ...], BeforeValidator(_known_part)] = Field(
        "none",
        description="tensors that never travel: none, normalisation (FedBN), head, or layers",
    )
    tailoring: Personalisation | None = Field(
        None, description="each site's own model, after the rounds"
    )
    selection: Selection = Selection(policy="all")
    protection: Protection = Protection(scheme="none")
    min_sites: int = Field(
        2,
        ge=1,
        description="the quorum: fewer answers make no round; unless given, 3 under encryption",
    )
    wait_for_sites: float = Field(120.0, gt=0.0, description="seconds to wait for the quorum")
    round_timeout: float = Field(
        86_400.0, gt=0.0, description="seconds after which a round closes without the late sites"
    )

    @model_validator(mode="before")
    @classmethod
    def _three_under_encryption(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "min-sites" in values:
            return values
        found = values.get("protection")
        scheme = found.get("scheme") if isinstance(found, dict) else found
        return values | {"min-sites": 3} if scheme in ("bfv", "ckks") else values

    @model_validator(mode="after")
    def _alone_is_alone(self) -> Self:
        if self.cohort != "all":
            if self.min_sites != 1:
                raise ValueError(
                    f"cohort {self.cohort} trains without a quorum: write min-sites: 1"
                )
            if self.server_optimizer.name != "average" or self.proximal_mu:
                raise ValueError(
                    f"cohort {self.cohort} has nothing to average: leave out server-optimizer "
                    "and proximal-mu"
                )
            if self.local != "none" or self.tailoring or self.selection.policy != "all":
                raise ValueError(
                    f"cohort {self.cohort} makes no model of all sites: leave out local, tailoring "
                    "and selection"
                )
        if self.protection.scheme != "none":
            if self.cohort != "all":
                raise ValueError(
                    f"cohort {self.cohort} adds nothing up, so that there is nothing to protect: "
                    "leave out protection"
                )
            if not 1 < self.min_sites <= self.protection.max_sites:
                raise ValueError(
                    f"min-sites {self.min_sites} cannot be with encryption: the sum of one site is "
                    f"its model, and there is room for {self.protection.max_sites}"
                )
        return self
