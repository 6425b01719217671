"""The names of tables, columns and keys in the user's systems. The defaults are those of the original service."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from snk.core.names import split_name
from snk.resync.model import Keys
from snk.settings import SettingsTable

KINDS = ("pointer", "source", "worker")


def _is_table(name: str) -> str:
    split_name(name)
    return name


Table = Annotated[str, AfterValidator(_is_table)]
Column = Annotated[str, Field(min_length=1)]


class ProjectNames(SettingsTable):
    """The table with one row per project, which says how its sources are assigned."""

    table: Table = "cw_project"
    project: Column = "project_id"
    method: Column = "use_multi_assign"
    single: str = "0"


class TaskNames(SettingsTable):
    """The table of each project's tasks."""

    table: Table = "tb_prj_mst"
    task: Column = "prj_idx"
    project: Column = "project_id"


class RowNames(SettingsTable):
    """The table of what was handed out, and the values of a row that can be assigned again."""

    table: Table = "tb_prj_data"
    key: Column = "data_idx"
    task: Column = "prj_idx"
    project: Column = "project_id"
    state: Column = "prog_state_cd"
    source: Column = "src_idx"
    worker: Column = "work_user"
    started: Column = "work_sdate"
    reset: Column = "old_reset"
    assignable: str = "WORK_ING"
    unassigned: int = -1
    reset_value: int = 1


class LabelNames(SettingsTable):
    """The table of labels: one row for each row of what was handed out."""

    table: Table = "tb_tmpl_img_label_data"
    key: Column = "data_idx"
    task: Column = "prj_idx"
    source: Column = "src_idx"
    index: Column = "json_index"
    first_index: int = 0


class KeyNames(SettingsTable):
    """The names of counters in Redis, after the prefix. ``{task}``, ``{source}`` and ``{worker}`` are numbers."""

    pointer: str = "sasp_{task}"
    source: str = "maic_{task}_{source}"
    worker: str = "mapc_{task}_{worker}"


class StateNames(SettingsTable):
    """Where the state of a project is: in its own row, or in the rows of what was handed out."""

    table: Literal["project", "row"] = "row"
    column: Column = "prog_state_cd"


class Mapping(SettingsTable):
    """All names together."""

    key_prefix: str = ""
    in_process: tuple[str, ...] = ()
    project: ProjectNames = ProjectNames()
    task: TaskNames = TaskNames()
    row: RowNames = RowNames()
    label: LabelNames = LabelNames()
    keys: KeyNames = KeyNames()
    state: StateNames = StateNames()

    def keys_of(self, task: int) -> Keys:
        """The names of one task's counters."""
        return Keys(*(self.written(name).replace("{task}", str(task)) for name in KINDS))

    def written(self, name: str) -> str:
        """A key's name with its prefix; a NUL stands for a source or a worker."""
        template: str = getattr(self.keys, name)
        return self.key_prefix + template.replace("{source}", "\0").replace("{worker}", "\0")

    @property
    def stems(self) -> list[str]:
        """What the names of all counters begin with, after the prefix."""
        return [re.split("{task}|{source}|{worker}", getattr(self.keys, name))[0] for name in KINDS]

    @cached_property
    def parsers(self) -> dict[str, re.Pattern[str]]:
        """For keys of sources and of workers: finds the task and the number in a key's name."""
        found: dict[str, re.Pattern[str]] = {}
        for name in ("source", "worker"):
            pattern = re.escape(self.written(name)).replace(re.escape("{task}"), "(?P<task>0|[1-9][0-9]*)", 1)
            found[name] = re.compile(pattern.replace(re.escape("\0"), "(?P<number>.*)", 1), re.DOTALL)
        return found

    @property
    def scanned(self) -> str:
        """A pattern of SCAN that all keys of sources and workers match, and few others."""
        heads = [re.split("{task}|\0", self.written(name))[0] for name in ("source", "worker")]
        common = heads[0][: next((at for at, (a, b) in enumerate(zip(*heads, strict=False)) if a != b), None)]
        common = common[: min(map(len, heads))]
        return re.sub(r"([*?\[\]\\^])", r"\\\1", common) + "*"
