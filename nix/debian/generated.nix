# What packages generate as they are installed, and every node must have for itself: path or pattern → what makes it when a
# node boots and it is missing or empty, with the path as `$1`. Owner and mode are those that the package gave it.
let
  snakeoil = "make-ssl-cert generate-default-snakeoil --force-overwrite";  # key and certificate
in
{
  "/etc/aliases.db".command = "[ -s /etc/mailname ] || hostname --fqdn > /etc/mailname; newaliases";
  "/etc/bind/rndc.key".command = ''rndc-confgen -a -c "$1"'';
  # The package can make it at any time, with a password that nobody knows; it must not start its service now.
  "/etc/ldap/slapd.d".command = ''
    [ ! -s /var/lib/ldap/data.mdb ] || { echo "/var/lib/ldap has data, but $1 no configuration" >&2; exit 1; }
    mkdir -p /var/cache/debconf
    debconf-set-selections /usr/lib/compose/debconf
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    dpkg-reconfigure --frontend=noninteractive slapd
    rm /usr/sbin/policy-rc.d
  '';
  "/etc/dbconfig-common/config".keep = true;  # says nothing of any database
  "/etc/mailname".command = ''hostname --fqdn > "$1"'';
  "/etc/munge/munge.key".command = ''mungekey --create --keyfile "$1"'';
  "/etc/nsd/nsd_*.key".command = "nsd-control-setup";
  "/etc/nsd/nsd_*.pem".command = "nsd-control-setup";
  "/etc/postsrsd.secret".command = ''head -c 24 /dev/urandom | base64 --wrap=0 > "$1"'';
  "/etc/ssl/certs/ssl-cert-snakeoil.pem".command = snakeoil;
  "/etc/ssl/private/ssl-cert-snakeoil.key".command = snakeoil;
  "/etc/mysql/debian.cnf".keep = true;  # root comes in without a password
  "/etc/postgresql/*/*/pg_hba.conf".keep = true;  # who may log in by what means
  "/etc/xrdp/rsakeys.ini".command = ''xrdp-keygen xrdp "$1"'';
  "/var/lib/ldap/*.mdb".command = ":";  # with its configuration
  "/var/lib/mysql".command = ''mariadb-install-db --user=mysql --datadir="$1" --rpm --skip-test-db --disable-log-bin'';
  "/var/lib/postgresql/*/*".command = ''
    version=''${1%/*}
    setpriv --reuid=postgres --regid=postgres --clear-groups "/usr/lib/postgresql/''${version##*/}/bin/initdb" \
      --pgdata="$1" --auth-local=peer --auth-host=scram-sha-256 --locale=C.UTF-8 --no-instructions
  '';
  "/var/lib/rabbitmq/.erlang.cookie".command = ''tr -dc A-Z < /dev/urandom | head -c 20 > "$1"'';
}
