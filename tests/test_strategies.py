"""Ways to train on several devices that cannot work here are refused, each with its reason."""

import pytest
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

from dcgan_lightning.errors import Refusal
from dcgan_lightning.strategies import STRATEGIES, refuse_unfit
from tests.conftest import assert_refused

DDP_OBJECT = "_target_:lightning.pytorch.strategies.DDPStrategy"


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("ddp", "to reach all parameters"),
        ("ddp_find_unused_parameters_false", "to reach all parameters"),
        ("ddp_static_graph", "to reach the same parameters"),
        ("ddp_spawn", "copies of this one"),
        ("ddp_fork_find_unused_parameters_true", "copies of this one"),
        ("ddp_notebook", "copies of this one"),
        ("fsdp", "take them whole"),
        ("fsdp_cpu_offload", "take them whole"),
        ("deepspeed_stage_3", "one optimizer"),
        ("single_device", "a single device"),
        ("xla", "TPUs"),
        ("carrier_pigeon", "no such strategy"),
        (f"{{{DDP_OBJECT},static_graph:true}}", "to reach the same parameters"),
        (f"{{{DDP_OBJECT},static_graph:false}}", "to reach all parameters"),
        (f"{{{DDP_OBJECT},find_unused_parameters:true,static_graph:true}}", "to reach the same parameters"),
        ("{_target_:lightning.pytorch.strategies.FSDPStrategy}", "take them whole"),
        ("{_target_:lightning.pytorch.strategies.DeepSpeedStrategy,stage:3}", "one optimizer"),
    ],
)
def test_what_cannot_train_two_networks_in_turn_is_refused_with_the_reason(command, strategy, reason):
    name = strategy.partition(":")[0].strip("{")
    assert_refused(command.tiny(f"trainer.strategy={strategy}"), "trainer.strategy=", name, reason, "leave it out")


@pytest.mark.parametrize("strategy", sorted({*StrategyRegistry} - {*STRATEGIES}))
def test_every_other_strategy_that_lightning_has_is_refused_for_a_reason(strategy):
    with pytest.raises(Refusal, match=f"trainer.strategy={strategy}") as refused:
        refuse_unfit(strategy)
    assert "no such strategy" not in str(refused.value)


def test_an_object_is_known_by_its_class():
    with pytest.raises(Refusal, match="to reach all parameters"):
        refuse_unfit(DDPStrategy(find_unused_parameters=True))


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("+trainer.gradient_clip_val=0.5", "model.clip_grad_norm"),
        ("+trainer.gradient_clip_algorithm=norm", "model.clip_grad_norm"),
        ("+trainer.accumulate_grad_batches=4", "data.batch_size"),
    ],
)
def test_what_lightning_leaves_undone_is_refused_with_what_does_it(command, given, remedy):
    assert_refused(command.tiny(given), given.lstrip("+"), "no effect", remedy)
