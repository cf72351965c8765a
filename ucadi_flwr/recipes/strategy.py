"""The strategy recipe: who learns together, what a site's answer weighs, when a round counts."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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
    min_sites: int = Field(2, ge=1, description="the quorum: fewer answers do not make a round")
    wait_for_sites: float = Field(120.0, gt=0.0, description="seconds to wait for the quorum")
    round_timeout: float = Field(
        86_400.0, gt=0.0, description="seconds after which a round closes without the late sites"
    )

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
        return self
