"""The four tables, with one project of each method and every kind of damage."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.errors import DatabaseUnfit
from snk.resync.mapping import Mapping
from snk.resync.redis import Client, translated

METADATA = sa.MetaData()
PROJECT = sa.Table(
    "cw_project",
    METADATA,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("use_multi_assign", sa.Text, nullable=False),
)
TASK = sa.Table(
    "tb_prj_mst",
    METADATA,
    sa.Column("prj_idx", sa.BigInteger, primary_key=True),
    sa.Column("project_id", sa.Text, nullable=False),
)
ROW = sa.Table(
    "tb_prj_data",
    METADATA,
    sa.Column("data_idx", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("prj_idx", sa.BigInteger, nullable=False, index=True),
    sa.Column("project_id", sa.Text, nullable=False),
    sa.Column("prog_state_cd", sa.Text, nullable=False),
    sa.Column("src_idx", sa.BigInteger, nullable=False),
    sa.Column("work_user", sa.BigInteger, nullable=False),
    sa.Column("work_sdate", sa.DateTime(timezone=True)),
    sa.Column("old_reset", sa.Integer, nullable=False, server_default="0"),
)
LABEL = sa.Table(
    "tb_tmpl_img_label_data",
    METADATA,
    sa.Column("data_idx", sa.BigInteger, primary_key=True),
    sa.Column("prj_idx", sa.BigInteger, nullable=False),
    sa.Column("src_idx", sa.BigInteger, nullable=False),
    sa.Column("json_index", sa.BigInteger, nullable=False),
    sa.Index("tb_tmpl_img_label_source", "prj_idx", "src_idx"),
)

# What was handed out: task, source, worker. Tasks 1, 3 and 4 are of the single project, task 2 of the multiple one.
ROWS = [
    *((1, source, 100 + source % 2) for source in (2, 3, 5)),  # 1, 4, 6 and 7 were lost
    *((3, source, 101) for source in (1, 2, 4)),  # its counter was taken back by a failover, and 3 was lost
    *((4, source, 102) for source in (1, 2)),  # its counter was evicted
    *((2, source, worker) for source in (1, 2) for worker in (201, 202)),
    *((2, 3, worker) for worker in (201, 203)),  # a third assignment of 3 was lost, and 203 has no counter
    (2, 5, 202),  # its counter was lost
]
COUNTERS = {
    "sasp_1": 7,
    "sasp_3": 2,
    "maic_2_1": 2,
    "maic_2_2": 1,  # taken back by a failover
    "maic_2_3": 3,
    "maic_2_4": 2,  # a source that only Redis knows
    "mapc_2_201": 3,
    "mapc_2_202": 2,
    "mapc_2_204": 6,  # a worker that only Redis knows, with a source that nobody else has
}
PROJECTS = {"DEMO-SINGLE": ("0", (1, 3, 4)), "DEMO-MULTIPLE": ("1", (2,))}


async def create(server: Server, client: Client, address: str, names: Mapping) -> None:
    """Create the tables and the counters.

    Raises:
        DatabaseUnfit: one of the tables exists already. Nothing was changed.
    """
    async with server.begin() as connection:
        there = await connection.run_sync(lambda sync: set(sa.inspect(sync).get_table_names()))
        if taken := there & set(METADATA.tables):
            hint = "Use an empty database for the demo"
            raise DatabaseUnfit(f"{server.address} has the table {min(taken)} already", hint=hint)
        await connection.run_sync(METADATA.create_all)
        await _fill(connection)
    with translated(address):
        for key, value in COUNTERS.items():
            await client.set(names.key_prefix + key, value)


async def _fill(connection: AsyncConnection) -> None:
    await connection.execute(
        sa.insert(PROJECT), [{"project_id": name, "use_multi_assign": kind} for name, (kind, _) in PROJECTS.items()]
    )
    await connection.execute(
        sa.insert(TASK),
        [{"prj_idx": task, "project_id": name} for name, (_, tasks) in PROJECTS.items() for task in tasks],
    )
    owner = {task: name for name, (_, tasks) in PROJECTS.items() for task in tasks}
    index: dict[tuple[int, int], int] = {}
    for task, source, worker in ROWS:
        row = {
            "prj_idx": task,
            "project_id": owner[task],
            "prog_state_cd": "WORK_END",
            "src_idx": source,
            "work_user": worker,
            "work_sdate": sa.func.now(),
        }
        key = (await connection.execute(sa.insert(ROW).values(row).returning(ROW.c.data_idx))).scalar_one()
        number = index.setdefault((task, source), 0)
        index[task, source] += 1
        label = {"data_idx": key, "prj_idx": task, "src_idx": source, "json_index": number}
        await connection.execute(sa.insert(LABEL).values(label))
