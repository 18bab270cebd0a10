#!/bin/sh
# Another source: which hosts are monitored.
echo '{"monitored": {"hosts": ["lb1", "db1"]}, "_meta": {"hostvars": {"db1": {"monitor": "postgresql"}}}}'
