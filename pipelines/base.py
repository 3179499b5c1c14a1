"""What every translation pipeline shares: its output, and strict loading from a folder, Hub id or checkpoint id."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.outputs import BaseOutput
from huggingface_hub import HfApi
from PIL import Image
from torch import Tensor

from pipelines.hub.allocator import tune_allocator
from pipelines.hub.download import Located, find_registered, locate
from pipelines.hub.errors import CheckpointError
from pipelines.hub.snapshot import hub_endpoint
from pipelines.hub.strict import check_folder
from pipelines.hub.verify import file_sha256

StepCallback = Callable[[Any, int, int, dict[str, Tensor]], dict[str, Any] | None]
_DOWNLOAD_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token")
_REFUSED_OPTIONS = ("custom_pipeline", "trust_remote_code", "use_flashpack")


class DivergedError(RuntimeError):
    """An optimization whose loss is no longer finite: its result would be of no use."""


@dataclass
class TranslationOutput(BaseOutput):
    """What a translation pipeline returns.

    Attributes:
        images: list of PIL images; for `output_type` "np" and "pt" a (B, H, W, 3) array or (B, 3, H, W) tensor in
            [0, 1], or a list of such without B where sizes differ.
    """

    images: list[Image.Image] | np.ndarray | Tensor | list[np.ndarray] | list[Tensor]


def call_step_callback(
    callback: StepCallback | None, pipe: Any, step: int, num_steps: int, tensors: dict[str, Tensor]
) -> bool:
    """Call a user's `callback_on_step_end(pipe, step, num_steps, tensors)`.

    Args:
        callback: returns None, or a dict; `{"stop": True}` ends the run with the best so far. None is no callback.
        pipe: the pipeline that runs.
        step: the step that ended, from 0.
        num_steps: how many steps the run has.
        tensors: what the callback may look at, by name.

    Returns:
        Whether to stop.

    Raises:
        TypeError: the callback returned something else. What the callback raises passes through.
    """
    answer = None if callback is None else callback(pipe, step, num_steps, tensors)
    if answer is None:
        return False
    if not isinstance(answer, dict):
        raise TypeError(
            f"`callback_on_step_end` returned a {type(answer).__name__}; it must return None or a dict such as "
            '{"stop": True}.'
        )
    return bool(answer.get("stop", False))


def new_generator() -> torch.Generator:
    """Return a source of random numbers with a random seed, on the CPU: what a call uses that is given none."""
    generator = torch.Generator()
    generator.seed()
    return generator


class TranslationPipeline(DiffusionPipeline):
    """A `DiffusionPipeline` that loads strictly and knows where its weights came from.

    A subclass registers its components in `__init__` and lists the classes they may have in `network_classes`: no
    other class that a folder or repository names is ever loaded.
    """

    network_classes: ClassVar[dict[str, type]] = {}
    _origin: Located | None = None
    _weights: Mapping[str, str] = MappingProxyType({})  # sha256 by path

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Self:
        """Load a pipeline, after checking every file of it.

        It also sets the C library's allocator for large tensors, see `tune_allocator`: on a CPU everything that
        follows is several times as fast.

        Args:
            pretrained_model_name_or_path: a folder, a Hub id (`owner/name`), or a checkpoint id of the registry.
            **kwargs: as `DiffusionPipeline.from_pretrained` takes them: `revision`, `dtype`, `variant`, `device_map`,
                `max_memory`, `cache_dir`, `token`, `local_files_only`, `force_download`, components by name, and
                arguments of the pipeline's `__init__`.

        Raises:
            CheckpointError: it cannot be fetched complete and sound, its weights do not fit, or it names unknown code.
            UnknownCheckpointError: a name without a slash is neither a folder nor a checkpoint id.
            ValueError: an option asks for pickle files or for code of the repository.
        """
        tune_allocator()
        for name in _REFUSED_OPTIONS:
            if kwargs.pop(name, None):
                raise ValueError(f"`{name}` is not supported: only safetensors and this library's code are loaded.")
        if kwargs.pop("use_safetensors", None) is False:
            raise ValueError("`use_safetensors=False` is not supported: pickle files are never loaded.")
        options = {name: kwargs.pop(name) for name in _DOWNLOAD_OPTIONS if name in kwargs}
        variant = kwargs.get("variant")
        located = cls._locate(
            pretrained_model_name_or_path, revision=kwargs.pop("revision", None), variant=variant, **options
        )
        components, _ = cls._get_signature_keys(cls)
        weights = check_folder(located.folder, cls, variant=variant, given=set(components) & kwargs.keys())
        pipe = super().from_pretrained(located.folder, use_safetensors=True, **kwargs)
        is_folder = os.path.isdir(located.checkpoint)
        name = located.folder.resolve().name if is_folder else located.checkpoint
        pipe.register_to_config(_name_or_path=name)  # it is saved and published: no path of this machine
        pipe._origin = located
        pipe._weights = {path.relative_to(located.folder).as_posix(): file_sha256(path) for path in weights}
        return pipe

    @classmethod
    def download(cls, pretrained_model_name: str | os.PathLike, **kwargs: Any) -> str:
        """Fetch and verify a pipeline without loading it; only safetensors, JSON, README and license files.

        Args:
            pretrained_model_name: as for `from_pretrained`.
            **kwargs: `revision`, `variant`, `cache_dir`, `token`, `local_files_only`, `force_download`.

        Returns:
            The local folder.
        """
        known = (*_DOWNLOAD_OPTIONS, "revision", "variant")
        options = {name: value for name, value in kwargs.items() if name in known}
        return str(cls._locate(pretrained_model_name, **options).folder)

    @classmethod
    def _locate(cls, name: str | os.PathLike, **options: Any) -> Located:
        source = find_registered(name)
        if source is not None and source.pipeline not in {base.__name__ for base in cls.__mro__}:
            raise CheckpointError(
                f"Checkpoint {source.id!r} is for {source.pipeline}, not {cls.__name__}: use {source.pipeline} or "
                "`load_pipeline`."
            )
        return locate(source or name, pipeline_class=cls, **options)

    @property
    def source_record(self) -> dict[str, Any]:
        """Where the weights came from, for provenance.

        Returns:
            `checkpoint` (checkpoint id, Hub id or folder; None for a pipeline put together in code), `revision`
            (commit; None for what is not on the Hub) and `sha256` (of every weight file, by its path in the folder).
        """
        checkpoint, revision = (self._origin.checkpoint, self._origin.revision) if self._origin else (None, None)
        return {"checkpoint": checkpoint, "revision": revision, "sha256": dict(self._weights)}

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the pipeline as a folder, as `DiffusionPipeline.save_pretrained` does, in safetensors only.

        A README.md that the weights came with is carried along; one that is in the folder already stays.

        Args:
            save_directory: the folder; made if needed.
            safe_serialization: must be True.
            variant: put into the file names, as in `diffusion_pytorch_model.<variant>.safetensors`.
            push_to_hub: also upload the folder; `repo_id` (the folder's name if not given), `private`, `token`,
                `commit_message` and `create_pr` say where to.
            **kwargs: `max_shard_size`, and the arguments of the upload.

        Raises:
            ValueError: `safe_serialization` is False.
        """
        if not safe_serialization:
            raise ValueError("`safe_serialization=False` is not supported: weights are saved as safetensors only.")
        shards = {"max_shard_size": kwargs.pop("max_shard_size")} if "max_shard_size" in kwargs else {}
        super().save_pretrained(save_directory, variant=variant, **shards)
        readme = Path(save_directory) / "README.md"
        if self._origin and not readme.exists() and (self._origin.folder / "README.md").is_file():
            shutil.copyfile(self._origin.folder / "README.md", readme)
        if push_to_hub:
            _upload(Path(save_directory), **{"repo_id": Path(save_directory).name, **kwargs})

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
    ) -> str:
        """Upload the pipeline to the Hub; unlike diffusers, no generic README.md is made up.

        Args:
            repo_id: `owner/name`; made if needed.
            commit_message: a default is used if None.
            private: whether a new repository is private.
            token: as huggingface_hub takes it.
            create_pr: open a pull request instead of committing to main.
            safe_serialization: must be True.
            variant: put into the names of the weight files.

        Returns:
            Address of the commit.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, safe_serialization=safe_serialization, variant=variant)
            return _upload(Path(folder), repo_id, commit_message, private, token, create_pr)


def _upload(
    folder: Path,
    repo_id: str,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    create_pr: bool = False,
) -> str:
    api = HfApi(endpoint=hub_endpoint(), token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    message = commit_message or "Upload pipeline"
    return api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, create_pr=create_pr)
