"""Python files that flags name, FILE or FILE:ARGUMENT, and the flag --config with its overrides."""

import importlib.util
import pathlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from transformer.section import did_you_mean

flags.disclaim_key_flags()  # --help shows the flags as those of the command

_INSTALLED = pathlib.Path(__file__).resolve().parents[2]  # the folder of `configs` and of the other packages


def split_argument(text: str) -> tuple[str, str | None]:
    """Splits FILE or FILE:ARGUMENT; the argument is None if there is none.

    The longest FILE that exists counts, because paths may contain colons, as those of a Windows drive do.
    """
    colons = [match.start() for match in re.finditer(":", text)]
    for end in (len(text), *reversed(colons)):
        if pathlib.Path(text[:end]).is_file():
            return text[:end], text[end + 1 :] if end < len(text) else None
    match = re.fullmatch(r"(.*?\.py):(.*)", text)
    return (match[1], match[2]) if match else (text, None)


def load_module(flag: str, path: str, name: str) -> ModuleType:
    """Imports the Python file that a flag names; it may lie in any folder and must define the function `name`.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not Python, raises an exception when imported, or defines no function `name`.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{flag}: {path} does not exist{_installed_file(path)}")
    module_name = f"{flag.lstrip('-')}_file"  # not the file's name, which may be that of a module
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{flag}: {path} is not a Python file")
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{flag}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ValueError(f"{flag}: {path} has no {name}(); see the files of the same kind in configs/")
    return module


def call_function(flag: str, text: str, name: str) -> tuple[Any, ModuleType]:
    """Calls the function `name` of FILE, or of FILE:ARGUMENT with the argument; returns the result and the module.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file cannot be imported, or the function raises an exception.
    """
    path, argument = split_argument(text)
    module = load_module(flag, path, name)
    try:
        return getattr(module, name)(*([argument] if argument else [])), module
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        guess = did_you_mean(argument, getattr(module, "ARGUMENTS", ()))
        raise ValueError(f"{flag}={text}: {reason}{guess}") from error


def _installed_file(path: str) -> str:
    """Returns the end of the error message for a missing file: the installed file that is meant, or their folder."""
    folder = _INSTALLED / "configs"
    missing = pathlib.PurePath(path.replace("\\", "/"))
    by_name = {file.stem: file for file in sorted(folder.rglob("[!_]*.py"), reverse=True)}
    if (file := by_name.get(missing.stem)) and file != pathlib.Path(path).resolve():
        return f"; the installed one is {file}"
    return f"{did_you_mean(missing.stem, by_name)}; the installed files are in {folder}"


class _OptionalParser(flags.ArgumentParser):
    """Parses None, and everything else as another parser does."""

    def __init__(self, parser: flags.ArgumentParser) -> None:
        self._parser = parser
        self.syntactic_help = parser.syntactic_help

    def parse(self, argument: Any) -> Any:
        return None if argument == "None" else self._parser.parse(argument)

    def flag_type(self) -> str:
        return self._parser.flag_type()


class _ConfigParser(flags.ArgumentParser):
    """Loads the config that --config names, and checks the keys of its overrides."""

    def parse(self, argument: str) -> ConfigDict:
        """Returns the config of FILE or FILE:ARGUMENT.

        Raises:
          FileNotFoundError: the file does not exist.
          flags.Error: the file or its argument is invalid, or a flag --config.SECTION.KEY names no setting.
        """
        try:
            config, _ = call_function("--config", argument, "get_config")
        except ValueError as error:
            raise flags.Error(str(error)) from error
        if not isinstance(config, ConfigDict):
            raise flags.Error(f"--config={argument}: get_config() returns a {type(config).__name__}, not a ConfigDict")
        _check_overrides(config)
        return config.lock()


def _check_overrides(config: ConfigDict) -> None:
    keys = list(_keys(config))
    for argument in flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False):
        match = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if match and match[1] not in keys:
            key = match[1]
            same_name = [known for known in keys if known.rpartition(".")[2] == key.rpartition(".")[2]]
            guess = f"; did you mean config.{same_name[0]}?" if same_name else did_you_mean(key, keys, "config.")
            raise flags.Error(f"unknown config key: config.{key}{guess}")


def _keys(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield prefix + key
        if isinstance(value, ConfigDict):
            yield from _keys(value, f"{prefix}{key}.")


def define_config_flag(help_text: str) -> None:
    """Defines --config, FILE or FILE:ARGUMENT; --config.SECTION.KEY=VALUE overrides a setting, also with None."""
    for kind, parser in ((int, flags.IntegerParser()), (float, flags.FloatParser()), (str, flags.ArgumentParser())):
        config_flags.register_flag_parser_for_type(kind, _OptionalParser(parser))
    config_flags.DEFINE_config_file("config", None, f"{help_text}, FILE or FILE:ARGUMENT, such as those in configs/")
    flags.FLAGS["config"].parser = _ConfigParser()
