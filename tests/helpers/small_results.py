"""Small results whose measures were computed by hand; the tests say how."""

from collections.abc import Mapping, Sequence

from ucadi_flwr.evaluation.metrics import TestMeasures
from ucadi_flwr.results.experiment import Cell, Model, RecipeRef, Results, SiteData, TaskRef
from ucadi_flwr.results.rounds import FailureRecord, RoundRecord, SiteRecord

Values = tuple[float | None, float | None, float | None, float]


def figures(values: Values, n: int) -> TestMeasures:
    auc, sensitivity, specificity, accuracy = values
    return TestMeasures(
        n=n,
        auc=auc,
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=accuracy,
        confusion=[[n, 0], [0, 0]],
    )


def model(trained_at: str, **sites: TestMeasures) -> Model:
    return Model(trained_at=trained_at, file="m.safetensors", sha256="0" * 64, test=sites)


def one_round(
    number: int,
    seconds: float,
    megabytes: float,
    losses: Mapping[str, tuple[int, float]],
    failed: str = "",
) -> RoundRecord:
    """``losses``: site → (examples, loss)."""
    return RoundRecord(
        round=number,
        attempts=1,
        seconds=seconds,
        add_seconds=0.1,
        loss=sum(n * loss for n, loss in losses.values()) / sum(n for n, _ in losses.values())
        if losses
        else None,
        bytes_up=round(megabytes * 1e6),
        bytes_down=round(megabytes * 2e6),
        sites={
            site: SiteRecord(
                examples=examples, epochs=1, loss=loss, seconds=1.0, protect_seconds=0.5
            )
            for site, (examples, loss) in losses.items()
        },
        failures=[FailureRecord(site=failed, reason="no answer within 600 s")] if failed else [],
    )


def ref(name: str) -> RecipeRef:
    return RecipeRef(name=name, digest=f"{name}-digest")


def cells() -> list[Cell]:
    """Site b has only one class (no AUC, no specificity); site c missed two tests."""
    b = figures((None, 0.75, None, 0.75), 4)
    return [
        Cell(
            strategy=ref("local"),
            seed=0,
            seconds=4.0,
            parameters=1234567,
            rounds=[],
            models=[
                model("a", a=figures((0.9, 0.8, 0.7, 0.6), 10), b=b, c=figures((0.6,) * 4, 20)),
                model("c", a=figures((0.5,) * 4, 10), b=b, c=figures((0.95,) * 4, 20)),
            ],
        ),
        Cell(
            strategy=ref("local"),
            seed=1,
            seconds=6.0,
            parameters=1234567,
            rounds=[],
            models=[
                model("a", a=figures((0.8, 0.9, 0.7, 0.7), 12), b=b, c=figures((0.7,) * 4, 20))
            ],
        ),
        Cell(
            strategy=ref("central"),
            seed=0,
            seconds=8.0,
            parameters=1234567,
            rounds=[one_round(1, 2.0, 1.0, {"all": (40, 0.7)})],
            models=[],
        ),
        Cell(
            strategy=ref("fedavg"),
            seed=0,
            seconds=10.0,
            parameters=1234567,
            rounds=[
                one_round(1, 1.0, 1.25, {"a": (30, 1.0), "c": (10, 2.0)}),
                one_round(2, 2.0, 2.5, {"a": (30, 0.5)}, "c"),
            ],
            models=[model("all", a=figures((0.85,) * 4, 10), b=b, c=figures((0.75,) * 4, 20))],
        ),
        Cell(
            strategy=ref("fedavg"),
            seed=1,
            seconds=20.0,
            parameters=1234567,
            rounds=[
                one_round(1, 3.0, 1.0, {"a": (30, 0.6), "c": (10, 1.0)}),
                one_round(2, 6.0, 1.0, {"a": (30, 0.3), "c": (10, 0.7)}),
                one_round(3, 3.0, 0.0, {}),
            ],
            models=[model("all", a=figures((0.95,) * 4, 10), b=b)],
        ),
        Cell(
            strategy=ref("fedprox"),
            seed=0,
            seconds=2.5,
            parameters=1234567,
            rounds=[one_round(n, 1.0, 1.0, {"c": (10, 9.0)}, "a") for n in (1, 2, 3, 7)],
            models=[model("all", d=figures((0.1,) * 4, 5))],
            error="round 8: 1 sites answered and min-sites is 2",
        ),
    ]


def build(
    cells: list[Cell],
    sites: Mapping[str, int],
    *,
    phantom: bool = False,
    classes: tuple[str, str] = ("healthy", "covid"),
) -> Results:
    """``sites``: name → number of healthy cases in each part; covid cases are twice as many."""
    part = {name: dict(zip(classes, (n, 2 * n), strict=True)) for name, n in sites.items()}
    return Results(
        created="2025-01-02T03:04:05Z",
        command="python run_sim.py --task ct",
        task=TaskRef(
            name="ct-task",
            digest="task-digest",
            summary="Chest CT.",
            classes=list(classes),
            positive_class=classes[1],
            phantom=phantom,
        ),
        sites={
            name: SiteData(train=counts, validation={}, test=counts)
            for name, counts in part.items()
        },
        environment={"python": "3.11.9"},
        cells=cells,
    )


def fair_cell(name: str, sites: Sequence[str], seed: int = 0, own: bool = False) -> Cell:
    """A finished run of two rounds; one model, or one for each site, tested at every site."""
    tested = {site: figures((0.875,) * 4, 8) for site in sites}
    return Cell(
        strategy=ref(name),
        seed=seed,
        seconds=1.0,
        parameters=10,
        rounds=[one_round(n, 1.0, 1.0, dict.fromkeys(sites, (10, 1.0))) for n in (1, 2)],
        models=[model(trained_at, **tested) for trained_at in (sites if own else ["all"])],
    )


def fair_results(
    strategies: Sequence[str], sites: Sequence[str], own: bool = False, seeds: Sequence[int] = (0,)
) -> Results:
    """Results in which every measure is 0.875."""
    cells = [fair_cell(name, sites, seed, own) for name in strategies for seed in seeds]
    return build(cells, dict.fromkeys(sites, 1))
