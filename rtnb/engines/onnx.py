"""How the models of the local engine run on onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import EngineError, MissingPackageError

__all__ = ["session"]


def session(path: Path, what: str) -> Any:
    """Return an inference session of one thread, which does not spin while idle.

    ``what`` names the model in errors, such as "the recognizer".

    Raises:
        MissingPackageError: onnxruntime is not installed.
        EngineError: The file cannot be loaded.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingPackageError("onnxruntime", what, "local") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena never returns the memory that the longest input needed, and saves no time here.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(
            f"{what} cannot load {path} ({type(error).__name__}): run  rtnb engine status --verify"
        ) from error
