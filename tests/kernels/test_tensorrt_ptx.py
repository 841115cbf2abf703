"""PTX keeps its own parameters and loses the two that Triton-lang appends."""

import pytest

from lafi_kernels.tensorrt_ptx import (
    PtxError,
    parameter_count,
    required_threads,
    without_scratch_pointers,
)

PTX = """
.version 8.0
.target sm_80
.visible .entry add(
	.param .u64 .ptr .global .align 1 add_param_0,
	.param .u32 add_param_1,
	.param .u64 .ptr .global .align 1 add_param_2,
	.param .u64 .ptr .global .align 1 add_param_3
)
.reqntid 128
{
	ld.param.b64 	%rd4, [add_param_0];
	ld.param.b32 	%r3, [add_param_1];
	ret;
}
"""


def test_the_last_two_parameters_go_and_nothing_else_changes() -> None:
    stripped = without_scratch_pointers(PTX, "add", arguments=2)
    assert parameter_count(PTX, "add") == 4
    assert parameter_count(stripped, "add") == 2
    assert "add_param_2" not in stripped
    assert stripped.replace("\n\t.param .u64 .ptr .global .align 1 add_param_0,", "").count(
        ".param"
    ) == (1 + 2)  # the second parameter, and the two loads
    body = PTX.index(")\n.reqntid")
    assert stripped.endswith(PTX[body:])


@pytest.mark.parametrize("arguments", [0, 1, 3, 4])
def test_another_number_of_parameters_is_refused(arguments: int) -> None:
    with pytest.raises(PtxError, match=rf"add: got 4 parameters, allowed {arguments} of its own"):
        without_scratch_pointers(PTX, "add", arguments)


def test_a_kernel_that_reads_its_scratch_memory_is_refused() -> None:
    used = PTX.replace("ret;", "ld.param.b64 %rd9, [add_param_3];\n\tret;")
    with pytest.raises(PtxError, match="add: reads add_param_3"):
        without_scratch_pointers(used, "add", 2)


def test_a_number_in_the_place_of_a_pointer_is_refused() -> None:
    odd = PTX.replace(".u64 .ptr .global .align 1 add_param_2", ".u32 add_param_2")
    with pytest.raises(PtxError, match="allowed a pointer"):
        without_scratch_pointers(odd, "add", 2)


def test_a_missing_entry_is_named() -> None:
    with pytest.raises(PtxError, match="sub: the PTX has no entry of this name"):
        parameter_count(PTX, "sub")


@pytest.mark.parametrize(("sizes", "threads"), [("128", 128), ("32, 4, 1", 128), ("384, 1", 384)])
def test_threads_of_a_block(sizes: str, threads: int) -> None:
    assert required_threads(PTX.replace(".reqntid 128", f".reqntid {sizes}")) == threads
    with pytest.raises(PtxError, match="does not say how many threads"):
        required_threads("")
