;;; A virtual machine of the site, with what its parameters file says; it is found beside this file, as is another module.
(add-to-load-path (dirname (current-filename)))
(use-modules (gnu) (gnu packages bash) (login-shell) (templates vm))

(define parameters
  (call-with-input-file (canonicalize-path "../common/parameters") read))

(operating-system
  (inherit vm-system)
  (host-name (string-append "login." (assq-ref parameters 'domain)))
  (services (cons* (vm-network parameters)
                   (service special-files-service-type `(("/bin/bash" ,login-shell)))
                   vm-services)))
