"""Make Nova's databases and its two cells: setup_nova NOVA_CONF DATABASE_CONF CELL0_URL CELL1_URL BUS_URL.

It does what ``nova-manage api_db sync``, ``cell_v2 map_cell0``, ``cell_v2 create_cell`` and ``db sync`` do, in one
process: importing Nova takes longer than each of them.
"""

from __future__ import annotations

import sys

from nova import config, context, objects
from nova.cmd import manage
from nova.db import migration

nova_conf, database_conf, cell0, cell1, bus = sys.argv[1:6]
sys.argv[1:] = []
config.parse_args(["nova-manage", "--config-file", nova_conf, "--config-file", database_conf])
objects.register_all()
migration.db_sync(database="api")
cells = manage.CellV2Commands()
if cells.map_cell0(database_connection=cell0) or cells.create_cell(
    "cell1", database_connection=cell1, transport_url=bus
):
    sys.exit("the cells could not be made")
admin = context.get_admin_context()
for cell in objects.CellMappingList.get_all(admin):
    with context.target_cell(admin, cell) as in_cell:
        migration.db_sync(context=in_cell)
