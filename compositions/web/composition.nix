# A small web service: a proxy in front of backends that count visits in a database whose data survive new images.
{ ... }:
let
  proxy = {
    description = "Distributes requests over the backends";
    packages = [ "nginx-light" ];
    files."/etc/nginx/sites-enabled/default".source = ./nginx.conf;
    # The backends are those of the deployment, however many: they come with the node document, not with the image.
    files."/usr/local/lib/list-backends" = {
      mode = "0755";
      text = ''
        #!/bin/sh
        jq -r '.peers[] | select(.role == "backend") | "server " + .name + ":8080;"' /run/compose/node.json >/run/backends.conf
      '';
    };
    units."nginx.service" = { };
    units."backends.service".text = ''
      [Unit]
      Description=List the backends for nginx
      Before=nginx.service

      [Service]
      Type=oneshot
      ExecStart=/usr/local/lib/list-backends
      ExecStart=/bin/systemctl try-reload-or-restart --no-block nginx.service

      [Install]
      RequiredBy=nginx.service
    '';
    units."backends.path".text = ''
      [Unit]
      Description=Follow the node document

      [Path]
      PathChanged=/run/compose/node.json

      [Install]
      WantedBy=multi-user.target
    '';
    ports = [ 80 ];
  };

  backend = {
    description = "Counts visits in the database";
    packages = [ "python3" ];
    files."/usr/local/lib/visits.py".source = ./visits.py;
    units."visits.service".text = ''
      [Unit]
      Description=Count visits
      After=network.target

      [Service]
      ExecStart=/usr/bin/python3 /usr/local/lib/visits.py
      DynamicUser=yes
      Restart=always

      [Install]
      WantedBy=multi-user.target
    '';
    ports = [ 8080 ];
  };

  database = {
    description = "Keeps the number of visits";
    packages = [ "redis-server" ];
    units."redis-server.service" = { };
    files."/etc/redis/redis.conf" = { source = ./redis.conf; mode = "0640"; group = "redis"; };
    volumes.data = { mount = "/var/lib/redis"; size = 256; user = "redis"; group = "redis"; mode = "0750"; };
    ports = [ 6379 ];
  };
in
{
  # Virtual machines boot it; containers have that of their host.
  roles = builtins.mapAttrs (_: role: role // { kernel = "linux-image-cloud-amd64"; }) { inherit proxy backend database; };

  rolesDistribution.backend = 2;

  testScript = ''
    import json

    start_all()

    backends = [machine for machine in machines if machine.role == "backend"]
    for machine in backends:
        machine.wait_for_unit("visits.service")
    database.wait_for_unit("redis-server.service")
    proxy.wait_for_unit("nginx.service")

    def visit():
        program = "import urllib.request as u; print(u.urlopen('http://proxy/').read().decode())"
        return json.loads(backends[0].wait_until_succeeds(f'python3 -c "{program}"'))

    with subtest("the proxy reaches every backend"):
        # The proxy follows the deployment while it runs: one that is new comes a moment after it was told.
        names = {machine.name for machine in backends}
        retry(lambda last: {visit()["backend"] for _ in range(2 * len(backends))} == names, 120)

    with subtest("visits are counted in the database"):
        counts = [visit()["visits"] for _ in range(4)]
        assert counts == sorted(set(counts)), counts
        assert int(database.succeed("redis-cli --raw get visits")) >= counts[-1]
  '';
}
