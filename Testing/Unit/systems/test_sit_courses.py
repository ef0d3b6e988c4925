"""Courses of change over adult life, and the network whose velocity is additive in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import find, load
from SITTranslateLib.systems import create
from SITTranslateLib.systems.sit.courses import Course, course_values, courses_of
from SITTranslateLib.systems.sit.layer import flow_of_potential
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.systems.sit.structures import parcellation_sha256

AGEING = {"ageing": "35:0 35.01:0.4 60:1"}
BACK = {"ageing back": "back 35:0 35.01:0.4 60:1"}
COURSES = (
    Course("ageing", (35.0, 35.01, 60.0), (0.0, 0.4, 1.0)),
    Course("disease", (18.0,), (1.0,), disease=True),
    Course("ageing back", (35.0, 35.01, 60.0), (0.0, 0.4, 1.0), back=True),
)


def test_decades_are_the_integral_of_the_rate():
    ageing, _, back = COURSES
    assert ageing.decades(60, 20) == pytest.approx(2.0)
    assert ageing.decades(20, 10) == pytest.approx(0.0)
    assert ageing.decades(35.01, 24.99) == pytest.approx(0.7 * 2.499)
    assert ageing.decades(50, 30) == pytest.approx(ageing.decades(50, 10) + ageing.decades(60, 20))
    assert ageing.decades(80, -20) == 0.0
    assert back.decades(80, -20) == pytest.approx(-2.0)
    assert back.decades(60, 20) == 0.0


def test_severity_replaces_health_by_disease():
    assert course_values(COURSES, {"age": 60, "years": 10}) == pytest.approx([1.0, 0.0, 0.0])
    assert course_values(COURSES, {"age": 60, "years": 10, "severity": 1}) == pytest.approx([0.0, 1.0, 0.0])
    assert course_values(COURSES, {"age": 60, "years": 10, "severity": 0.25}) == pytest.approx([0.75, 0.25, 0.0])
    assert course_values(COURSES, {"age": 70, "years": -10}) == pytest.approx([0.0, 0.0, -1.0])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"years": 10.0}, "age at the scan"),
        ({"age": 60.0}, "age at the scan"),
        ({"age": 15.0, "years": 10.0}, "adults from 18 to 100 years"),
        ({"age": 25.0, "years": -10.0}, "adults from 18 to 100 years"),
        ({"age": 95.0, "years": 10.0}, "adults from 18 to 100 years"),
        ({"age": 60.0, "years": 20.0, "severity": 1.0}, "at most 10 years at severity 1"),
    ],
)
def test_what_the_rates_do_not_cover_is_refused(request_, said):
    with pytest.raises(InputError, match=said):
        course_values(COURSES, request_)


KERNEL = {"kernel_mm": [4.0, 8.0], "kernel_weights": [1.0, 2.0]}
KINDS = {"velocity": {}, "potential": KERNEL}


@pytest.fixture(scope="module", params=KINDS)
def network(request) -> SITNetwork:
    torch.manual_seed(0)
    made = SITNetwork(
        "dt",
        ["ageing", "ageing back"],
        [1.0, 1.0],
        widths=(4, 8),
        smoothing_mm=0.0,
        bound_mm=0.0,
        courses=AGEING | BACK,
        hold_edges=False,
        **KINDS[request.param],
    )
    for name, weight in made.field_head.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.normal_(weight, std=0.2)
    return made.eval()


def velocity(network: SITNetwork, age: float, years: float) -> np.ndarray:
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    output = network.translate(image, {"age": age, "years": years}, np.diag([2.0, 2.0, 2.0, 1.0]))
    return output.velocity.numpy()


def test_velocities_add_up_over_the_years(network):
    whole = velocity(network, 50, 30)
    assert np.abs(whole).max() > 1e-3
    least = 1e-5 * float(np.abs(whole).max())
    np.testing.assert_allclose(whole, velocity(network, 50, 10) + velocity(network, 60, 20), atol=least)
    np.testing.assert_allclose(velocity(network, 80, -20), 2 * velocity(network, 70, -10), atol=least)


def test_no_years_are_the_identity(network):
    assert np.abs(velocity(network, 60, 0)).max() == 0.0
    assert np.abs(velocity(network, 20, 10)).max() == 0.0


def test_velocity_of_a_potential():
    # Of p = x^2 / 2 the gradient is x; a Gaussian leaves a straight line as it is.
    i = torch.arange(40, dtype=torch.float32) * 2.0 - 39.0
    potential = (0.5 * i**2).expand(1, 1, 8, 8, 40)
    found = flow_of_potential(potential, torch.ones_like(potential), np.eye(3) * 2.0, [(4.0, 1.0), (2.0, 2.0)])
    middle = found[0, :, 4, 4, 15:25].numpy()
    np.testing.assert_allclose(middle[0], -3.0 * i[15:25].numpy(), atol=1e-3)
    np.testing.assert_allclose(middle[1:], 0.0, atol=1e-4)
    held = flow_of_potential(potential, torch.zeros_like(potential), np.eye(3) * 2.0, [(4.0, 1.0)])
    assert float(held.abs().max()) == 0.0


def test_structures_of_another_parcellation_are_refused():
    given = {"courses": AGEING}
    with pytest.raises(ValueError, match="another version of the parcellation"):
        SITNetwork("dt", ["ageing"], [1.0], structures="0" * 64, **given)
    with pytest.raises(ValueError, match="need courses and the variant dt"):
        SITNetwork("dit", ["ageing"], [1.0], structures=parcellation_sha256(), **given)


def test_courses_are_read_from_a_card():
    made = courses_of(AGEING | {"disease": "disease 18:1"} | BACK)
    assert made == COURSES
    with pytest.raises(ValueError, match="differ in their names"):
        SITNetwork("dt", ["other"], [1.0], widths=(4, 8), courses=AGEING)
    for text in ("", "60:1 35:0", "35 60:1", "sometimes 35:0"):
        with pytest.raises(ValueError):
            courses_of({"ageing": text})


def test_the_shipped_package_is_whole() -> None:
    package = find("brain-change-t1w")
    made = create(package.card.system.name, package.card.system.parameters)
    assert isinstance(made, SITNetwork)
    made.load_state_dict(load(package))
    assert made.structures == parcellation_sha256()
    assert [attribute.name for attribute in package.card.attributes] == ["age", "years", "severity"]
    code = made.code({"age": 60.0, "years": 10.0, "severity": 0.5})
    np.testing.assert_allclose(code[0, :3].numpy(), [0.5, 0.5 * (0.875 * 7 + 0.90625 * 3) / 10, 0.5], atol=1e-6)
    assert float(code[0, 3:6].abs().max()) == 0.0
    with pytest.raises(InputError, match="adults"):
        made.code({"age": 12.0, "years": 10.0})
