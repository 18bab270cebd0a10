{ setup, ... }: {
  roles = {
    server = { greeting = setup.params.greeting; };
    node = { greeting = "node"; };
  };
  rolesDistribution = { node = 2; };
  testScript = ''
    server.succeed("true")
  '';
}
