#!/usr/bin/env bash
# A real OAR of this computer, from Debian's packages, with nodes that exist by name only. As root, on Debian 12; without
# systemd. Everything listens on 127.0.0.1. It may be run again at any time.
# Usage: oar.sh up        install what is missing, configure, start
#        oar.sh down      stop what `up` started, and forget all jobs; packages and users stay
# Of the environment: OAR_NODES (12), OAR_CORES of each (2), OAR_USERS who submit jobs ("alice bob"), OAR_KADEPLOY, a
# Kadeploy in which who has a job of type deploy has rights on its nodes, while it runs (none).
set -euo pipefail
nodes=${OAR_NODES:-12} cores=${OAR_CORES:-2}
read -ra users <<<"${OAR_USERS:-alice bob}"
kadeploy=${OAR_KADEPLOY:-} rights=/usr/local/lib/compose-oar-rights.py
here=$(dirname "$(readlink -f "$0")")
postgres_port=5433 server_port=6666 ssh_port=6667 api_port=6668
version=15 cluster=oar  # of PostgreSQL
run=/run/compose-oar
configuration=/etc/oar/oar.conf
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# runs NAME: whether the process that `up` started as NAME is there
runs() {
    [ -s "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null
}

# await PORT: until something listens there
await() {
    local n
    for n in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nothing listens on port $1 after $n looks" >&2
    return 1
}

# database COMMAND...: psql of PostgreSQL's own user
database() {
    (cd / && runuser -u postgres -- psql -p $postgres_port -qAt -v ON_ERROR_STOP=1 "$@")
}

# exists: whether there is a cluster of PostgreSQL for it
exists() {
    command -v pg_lsclusters >/dev/null && pg_lsclusters -h | grep -q "^$version *$cluster "
}

# is_online: whether the cluster of PostgreSQL runs
is_online() {
    exists && pg_lsclusters -h | grep -q "^$version *$cluster .*online"
}

packages() {
    local wanted=(oar-server oar-server-pgsql oar-user oar-user-pgsql oar-node oar-restful-api "postgresql-$version"
        apache2 openssh-server libjson-perl libyaml-perl libyaml-syck-perl)
    local missing policy=/usr/sbin/policy-rc.d
    mapfile -t missing < <(printf '%s\n' "${wanted[@]}" | grep -vxF -f <(
        dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p'))
    [ ${#missing[@]} -gt 0 ] || return 0
    # What comes along must start neither now nor at the next boot.
    if [ ! -e $policy ]; then
        # shellcheck disable=SC2064
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | install -m 755 /dev/stdin $policy
    fi
    apt-get update -q
    apt-get install -q -y --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "${missing[@]}"
    local package
    local -A services=([apache2]='apache2 apache-htcacheclean' [openssh-server]=ssh [oar-server]=oar-server
        [oar-node]=oar-node ["postgresql-$version"]=postgresql)
    for package in "${missing[@]}"; do
        # shellcheck disable=SC2086
        ! command -v systemctl >/dev/null || [ -z "${services[$package]:-}" ] ||
            systemctl --quiet disable ${services[$package]} || true
    done
}

names() {
    local user number
    for user in "${users[@]}"; do
        id "$user" >/dev/null 2>&1 || useradd --create-home --password '*' --shell /bin/bash "$user"
    done
    sed -i '/# compose-oar$/d' /etc/hosts
    for number in $(seq "$nodes"); do
        echo "127.0.0.1 node-$number # compose-oar"
    done >>/etc/hosts
}

start_database() {
    exists || pg_createcluster -p $postgres_port $version $cluster >/dev/null
    printf '%s\n' "listen_addresses = '127.0.0.1'" 'fsync = off' >/etc/postgresql/$version/$cluster/conf.d/compose.conf
    is_online || pg_ctlcluster $version $cluster start
    [ -z "$(database -c "SELECT 1 FROM pg_database WHERE datname = 'oar'")" ] || return 0
    database -c "CREATE ROLE oar LOGIN PASSWORD 'oar'" -c "CREATE ROLE oar_ro LOGIN PASSWORD 'oar_ro'"
    database -c "CREATE DATABASE oar OWNER oar ENCODING 'UTF8' TEMPLATE template0"
    local file
    for file in pg_structure pg_default_admission_rules default_data; do
        PGPASSWORD=oar psql -h 127.0.0.1 -p $postgres_port -U oar -q -v ON_ERROR_STOP=1 -d oar \
            -f /usr/lib/oar/database/$file.sql >/dev/null
    done
    PGPASSWORD=oar psql -h 127.0.0.1 -p $postgres_port -U oar -q -d oar -c 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO oar_ro'
    # Sites of Grid'5000 know more types of jobs than the rules that come along.
    database -d oar -c "UPDATE admission_rules SET rule = replace(rule, 'qr/^state=permissive\$/,',
        'qr/^state=permissive\$/, qr/^(?:destructive|exotic|day|night)\$/,')"
}

# set_option NAME VALUE: in OAR's configuration; without a VALUE it is taken out
set_option() {
    sed -i -E "/^#?$1=/d" $configuration
    [ $# = 1 ] || echo "$1=\"$2\"" >>$configuration
}

configure() {
    set_option DB_HOSTNAME 127.0.0.1
    set_option DB_PORT $postgres_port
    set_option DB_BASE_PASSWD oar
    set_option DB_BASE_PASSWD_RO oar_ro
    set_option SERVER_HOSTNAME 127.0.0.1
    set_option SERVER_PORT $server_port
    set_option OPENSSH_CMD "/usr/bin/ssh -p $ssh_port -e none"
    set_option SCHEDULER_JOB_SECURITY_TIME 2
    set_option SCHEDULER_MIN_TIME_BETWEEN_2_CALLS 1
    set_option WALLTIME_CHANGE_ENABLED YES
    set_option WALLTIME_MAX_INCREASE 3600
    # Nodes are alive unless somebody says otherwise, and nothing is put into cgroups.
    set_option PINGCHECKER_SENTINELLE_SCRIPT_COMMAND
    set_option PINGCHECKER_GENERIC_COMMAND /bin/true
    set_option JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD
    set_option CPUSET_PATH
    set_option SERVER_PROLOGUE_EXEC_FILE ${kadeploy:+"/usr/bin/python3 $rights grant $kadeploy"}
    set_option SERVER_EPILOGUE_EXEC_FILE ${kadeploy:+"/usr/bin/python3 $rights withdraw $kadeploy"}
    install -m 644 "$here/oar_rights.py" $rights
    chown oar: $configuration
    chmod 600 $configuration
    # The server has no option for the address that it listens at.
    sed -i 's/INET->new(LocalPort *=> /INET->new(LocalAddr => "127.0.0.1", LocalPort => /' /usr/lib/oar/Almighty
    grep -q 'LocalAddr => "127.0.0.1"' /usr/lib/oar/Almighty
    touch /var/log/oar.log
    chown oar /var/log/oar.log
}

# One resource for each core. The commands of OAR take most of a second for each.
resources() {
    local there property text
    there=$(oarproperty -l)
    for property in cpu core host cluster; do
        case $property in h* | cl*) text=-c ;; *) text='' ;; esac
        grep -qx $property <<<"$there" || oarproperty $text -a $property >/dev/null
    done
    database -d oar -c "INSERT INTO resources
        (type, network_address, host, state, state_num, cluster, cpu, core, cpuset, deploy)
        SELECT 'default', 'node-' || n, 'node-' || n, 'Alive', 1, 'fake', n, (n - 1) * $cores + c, (c - 1)::text, 'YES'
        FROM generate_series(1, $nodes) n, generate_series(1, $cores) c
        WHERE 'node-' || n NOT IN (SELECT network_address FROM resources)"
}

start_server() {
    if ! runs sshd; then  # jobs are started through it
        [ -s /etc/oar/oar_ssh_host_rsa_key ] || ssh-keygen -q -t rsa -N '' -f /etc/oar/oar_ssh_host_rsa_key
        mkdir -p /run/sshd
        /usr/sbin/sshd -f /etc/oar/sshd_config -o ListenAddress=127.0.0.1 -o Port=$ssh_port -o PidFile=$run/sshd.pid \
            -E /var/log/compose-oar-sshd.log
    fi
    if ! runs server; then
        if (exec 3<>/dev/tcp/127.0.0.1/$server_port) 2>/dev/null; then
            echo "something else listens on port $server_port already; a server of an earlier OAR is called Almighty" >&2
            return 1
        fi
        setsid /usr/sbin/Almighty </dev/null >$run/server.log 2>&1 &
        echo $! >$run/server.pid
    fi
    await $server_port
}

# The REST API believes who calls it: the user is whom the header X-Remote-Ident names, behind a password where there is
# one. /oarapi believes, /oarapi-priv asks for the password "secret".
start_api() {
    ! runs apache2 || return 0
    local modules=/usr/lib/apache2/modules user
    : >$run/passwords
    for user in "${users[@]}"; do
        echo "$user:$(openssl passwd -apr1 secret)" >>$run/passwords
    done
    cat >$run/apache2.conf <<END
ServerName localhost
PidFile $run/apache2.pid
Listen 127.0.0.1:$api_port
User oar
Group oar
ErrorLog /var/log/compose-oar-api.log
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authn_core_module $modules/mod_authn_core.so
LoadModule authn_file_module $modules/mod_authn_file.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule authz_user_module $modules/mod_authz_user.so
LoadModule auth_basic_module $modules/mod_auth_basic.so
LoadModule alias_module $modules/mod_alias.so
LoadModule env_module $modules/mod_env.so
LoadModule headers_module $modules/mod_headers.so
LoadModule cgid_module $modules/mod_cgid.so
ScriptSock $run/cgid.sock
ScriptAlias /oarapi-priv /usr/lib/cgi-bin/oarapi/oarapi.cgi
ScriptAlias /oarapi /usr/lib/cgi-bin/oarapi/oarapi.cgi
SetEnv OARCONFFILE $configuration
<Directory /usr/lib/cgi-bin/oarapi>
  Options +ExecCGI
  Require all granted
</Directory>
<Location /oarapi-priv>
  AuthType Basic
  AuthName OAR
  AuthUserFile $run/passwords
  Require valid-user
  RequestHeader set X-Remote-Ident expr=%{REMOTE_USER}
</Location>
END
    /usr/sbin/apache2 -f $run/apache2.conf -k start
    await $api_port
}

up() {
    mkdir -p $run
    chmod 755 $run
    packages
    names
    start_database
    configure
    resources
    start_server
    start_api
    echo "OAR runs: $(oarnodes -l | wc -l) nodes, REST API http://127.0.0.1:$api_port/oarapi, log /var/log/oar.log"
}

# jobs: the numbers of those that have not ended
jobs() {
    database -d oar -c "SELECT job_id FROM jobs WHERE state NOT IN ('Terminated', 'Error')"
}

# Their processes would outlive the server.
end_jobs() {
    local job n
    for job in $(jobs); do
        oardel "$job" >/dev/null || true
    done
    for n in $(seq 60); do
        [ -n "$(jobs)" ] || return 0
        sleep 0.5
    done
    echo "after $n looks, these jobs have not ended: $(jobs)" >&2
}

down() {
    local name group n
    ! runs server || ! is_online || end_jobs
    for name in apache2 sshd; do
        ! runs $name || kill "$(cat $run/$name.pid)"
    done
    # What the server started is in its process group, has its port, and may outlive it.
    if [ -s $run/server.pid ]; then
        group=-$(cat $run/server.pid)
        kill -- "$group" 2>/dev/null || true
        for n in $(seq 50); do
            kill -0 -- "$group" 2>/dev/null || break
            sleep 0.1
        done
        [ "$n" -lt 50 ] || kill -KILL -- "$group" 2>/dev/null || true
    fi
    ! exists || pg_dropcluster --stop $version $cluster
    rm -rf $run $rights
    sed -i '/# compose-oar$/d' /etc/hosts
}

case ${1:-} in
    up | down) "$1" ;;
    *) sed -n '2,8s/^# //p' "$0" >&2 && exit 2 ;;
esac
