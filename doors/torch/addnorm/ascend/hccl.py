# SPDX-License-Identifier: Apache-2.0
"""The process-group backend 'hccl', carried out by gloo.

Gloo's limits hold (CPU tensors, its reduction order). The communicator's name is c10d's name of the group: the string that
``torch.distributed.distributed_c10d._resolve_process_group`` turns back into the group, in every rank.
"""

import torch.distributed as dist


def register() -> None:
    """Registers 'hccl' for cpu and npu, and the method get_hccl_comm_name on gloo's backend objects. Nothing if torch lacks gloo."""
    if not (dist.is_available() and dist.is_gloo_available()):
        return
    # On gloo's own class: torch holds the C++ object only, so an instance of a Python subclass would lose its Python half.
    dist.ProcessGroupGloo.get_hccl_comm_name = _get_hccl_comm_name
    dist.Backend.register_backend("hccl", _make_backend, extended_api=True, devices=["cpu", "npu"])


def _make_backend(options, backend_options):
    """Makes the gloo backend of one group. `backend_options` (HCCL buffer sizes and the like) mean nothing to gloo."""
    backend = dist.ProcessGroupGloo(options.store, options.group_rank, options.group_size, options.timeout)
    backend.options.group_name = options.group_id
    backend.options.global_ranks_in_group = options.global_ranks_in_group
    return backend


def _get_hccl_comm_name(self, rankid: int, init_comm: bool = True) -> str:
    """The communicator's name, the same in every rank. `init_comm` has no effect: the group is connected already."""
    if not 0 <= rankid < self.size():
        raise ValueError(f"get_hccl_comm_name: argument 'rankid' is {rankid}, expected 0 to {self.size() - 1}")
    return self.options.group_name
