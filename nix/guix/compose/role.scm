;;; Makes an operating system of a role out of the one in a file: with the service of (compose node), with the data volumes
;;; of the role, with an SSH server that has its keys from the node document.
(define-module (compose role)
  #:use-module (compose node)
  #:use-module (compose numbers)
  #:use-module (gnu services)
  #:use-module (gnu services ssh)
  #:use-module (gnu system)
  #:use-module (gnu system file-systems)
  #:use-module (gnu system image)
  #:use-module (guix diagnostics)
  #:use-module (guix gexp)
  #:use-module (guix i18n)
  #:use-module (guix monads)
  #:use-module (guix store)
  #:use-module (guix ui)
  #:use-module (srfi srfi-1)
  #:export (role))

;; The node document says how the network is: who else does so has to go.
(define (network-service? service)
  (memq (service-type-name (service-kind service)) '(dhcp-client dhcpcd network-manager connman)))

(define ssh-keys "\
HostKey /run/compose/ssh/host_key
HostCertificate /run/compose/ssh/host_key-cert.pub
UseDNS no
")

;; Last, for a Match block has no end; it wins over what is said above for everybody.
(define ssh-root "
Match User root
  AuthorizedKeysFile /run/compose/ssh/authorized_keys/root .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u
  PermitRootLogin prohibit-password
  PasswordAuthentication no
")

(define (with-keys config)
  (openssh-configuration
   (inherit config)
   (generate-host-keys? #f)
   (extra-content (string-append ssh-keys (openssh-configuration-extra-content config) ssh-root))))

(define (with-ssh services)
  (if (any (lambda (service) (eq? (service-kind service) openssh-service-type)) services)
      (modify-services services
        (openssh-service-type config => (with-keys config)))
      (cons (service openssh-service-type (with-keys (openssh-configuration))) services)))

(define (load-system file)
  "The operating system in FILE.  Errors are told by Guix, with their place; they end the program at once, for an expression
is evaluated that Guix would blame."
  (let ((value (catch 'quit
                 (lambda ()
                   (load* file (make-user-module '((gnu system) (gnu services) (gnu system shadow) (compose setup)))))
                 (lambda _ (primitive-exit 1)))))
    (unless (operating-system? value)
      (report-error (G_ "'~a' does not return an operating system~%") file)
      (primitive-exit 1))
    value))

(define (with-numbers os)
  "The same, which says which numbers its users and groups have."
  (operating-system
    (inherit os)
    (services (cons (simple-service 'compose-numbers system-service-type
                                    (with-monad %store-monad
                                      (return `(("compose-numbers" ,(plain-file "compose-numbers" (numbers os)))))))
                    (operating-system-user-services os)))))

(define (role file volumes)
  "The operating system in FILE, for a node of a deployment.  VOLUMES is a list of (NAME MOUNT USER GROUP MODE KEEP?)."
  (let ((os (load-system file))
        (volumes (map (lambda (fields) (apply volume fields)) volumes)))
    (with-numbers
     (operating-system
      (inherit os)
      (file-systems (append (map volume->file-system volumes)
                            (remove (lambda (file-system)
                                      (member (file-system-mount-point file-system) (map volume-mount volumes)))
                                    (operating-system-file-systems os))))
      (services (cons (service compose-node-service-type volumes)
                      (with-ssh
                       (remove network-service? (operating-system-user-services os)))))))))
