;;; The machines of the site, for `guix deploy'.
(use-modules (gnu) (gnu machine) (gnu machine ssh) (templates vm))

(define (at host name)
  (machine
   (operating-system (operating-system (inherit vm-system) (host-name name)))
   (environment managed-host-environment-type)
   (configuration (machine-ssh-configuration
                   (host-name host) (system "x86_64-linux") (user "alice") (port 2222) (identity "./key")))))

(list (at "10.87.9.7" "front")
      (at "back.example.org" "back"))
