"""The command `convert`: a file goes in, a pipeline folder that loads comes out, or nothing at all."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines import CUTPipeline, SinCUTPipeline
from pipelines.__main__ import main
from pipelines.cut.convert import convert_generator
from pipelines.sincut.convert import convert_generator as convert_sincut
from tests.authors_cut import authors_file
from tests.unit.test_sincut_convert import authors_file as sincut_file


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "latest_net_G.pth"
    torch.save(authors_file(), path)
    return path


def convert(source: Path, output: Path, *options: str, method: str = "cut") -> int:
    return main(["convert", method, "--source", str(source), "--output", str(output), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_loads(tmp_path, source, capsys):
    output = tmp_path / "new" / "zebra"
    assert convert(source, output) == 0
    assert "zebra: a CUTPipeline with a ResnetGenerator: in_channels 3" in capsys.readouterr().out
    assert sorted(contents(output)) == [
        "README.md",
        "generator/config.json",
        "generator/diffusion_pytorch_model.safetensors",
        "model_index.json",
    ]
    found = CUTPipeline.from_pretrained(output).generator.state_dict()
    wanted = convert_generator(authors_file()).state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())
    assert list(output.parent.iterdir()) == [output]


def test_readme_says_where_the_weights_came_from(tmp_path, source):
    renamed = source.rename(source.with_name("zebra`\n# net_G.pth"))
    convert(renamed, tmp_path / "zebra")
    text = (tmp_path / "zebra/README.md").read_text()
    assert f"`zebra__# net_G.pth` (sha256 `{hashlib.sha256(renamed.read_bytes()).hexdigest()}`)" in text
    assert "license: other" in text
    assert "The license of these weights is their owner's" in text
    assert str(tmp_path) not in text


def test_same_file_same_bytes(tmp_path, source):
    convert(source, tmp_path / "a")
    convert(source, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_half(tmp_path, source, capsys):
    convert(source, tmp_path / "half", "--half")
    assert "The weights are rounded to half precision." in (tmp_path / "half/README.md").read_text()
    pipe = CUTPipeline.from_pretrained(tmp_path / "half", dtype=torch.float16)
    wanted = convert_generator(authors_file()).half().state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in pipe.generator.state_dict().items())
    state = authors_file()
    state["model.1.bias"][0] = 1e5
    torch.save(state, source)
    assert convert(source, tmp_path / "large", "--half") == 1
    assert "has weights too large for half precision (stem.bias): convert it without" in capsys.readouterr().err
    assert not (tmp_path / "large").exists()


def test_nothing_is_left_of_a_failure(tmp_path, source, monkeypatch, capsys):
    before = contents(tmp_path)
    source.with_name("broken.pth").write_bytes(source.read_bytes()[:-100])
    assert convert(source.with_name("broken.pth"), tmp_path / "out") == 1
    assert "broken.pth is damaged or cut off" in capsys.readouterr().err

    def half_written(pipe, folder):
        (folder / "model_index.json").write_text("{}")
        raise OSError("disk full")

    monkeypatch.setattr(CUTPipeline, "save_pretrained", half_written)
    with pytest.raises(OSError, match="disk full"):
        convert(source, tmp_path / "out")
    source.with_name("broken.pth").unlink()
    assert contents(tmp_path) == before
    assert list(tmp_path.iterdir()) == [source]


def test_what_lies_there_is_kept(tmp_path, source, capsys):
    output = tmp_path / "taken"
    output.mkdir()
    assert convert(source, output) == 0  # an empty folder is free
    kept = contents(output)
    assert convert(source, output) == 1
    assert "taken is not empty: give another folder, or --overwrite to replace a pipeline" in capsys.readouterr().err
    assert contents(output) == kept

    assert convert(source, output, "--overwrite", "--half") == 0
    assert contents(output) != kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest_net_G.pth", "taken"]

    assert convert(source, tmp_path, "--overwrite") == 1
    assert "holds no pipeline, so --overwrite does not replace it" in capsys.readouterr().err
    assert convert(source, source, "--overwrite") == 1
    assert "is a file or a link" in capsys.readouterr().err
    assert source.is_file()


def test_sincut(tmp_path, source):
    torch.save(sincut_file(), source)
    assert convert(source, tmp_path / "painting", method="sincut") == 0
    found = SinCUTPipeline.from_pretrained(tmp_path / "painting").generator.state_dict()
    wanted = convert_sincut(sincut_file()).state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_sincut_and_cut_are_told_apart(tmp_path, source, capsys):
    assert convert(source, tmp_path / "out", method="sincut") == 1
    assert "is a network of CUT, FastCUT or CycleGAN: convert it with `convert cut`" in capsys.readouterr().err


def test_help_needs_no_torch():
    code = "import sys, pipelines.__main__ as m\ntry: m.main(['convert', '-h'])\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")
    assert "--overwrite" in result.stdout


def test_index_names_no_path(tmp_path, source):
    convert(source, tmp_path / "zebra")
    index = json.loads((tmp_path / "zebra/model_index.json").read_text())
    assert index["_class_name"] == "CUTPipeline"
    assert index["generator"] == ["pipelines.cut.networks", "ResnetGenerator"]
    assert str(tmp_path) not in json.dumps(index)
