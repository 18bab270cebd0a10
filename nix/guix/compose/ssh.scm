;;; The SSH server of a node: the one that an operating system has, or one of its own, with the keys of the node document.
(define-module (compose ssh)
  #:use-module (gnu services)
  #:use-module (gnu services ssh)
  #:use-module (srfi srfi-1)
  #:export (with-ssh-of-node))

(define keys "\
HostKey /run/compose/ssh/host_key
HostCertificate /run/compose/ssh/host_key-cert.pub
UseDNS no
")

;; Last, for a Match block has no end; it wins over what is said above for everybody.
(define root "
Match User root
  AuthorizedKeysFile /run/compose/ssh/authorized_keys/root .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u
  PermitRootLogin prohibit-password
  PasswordAuthentication no
")

(define (with-keys config)
  (openssh-configuration
   (inherit config)
   (generate-host-keys? #f)
   (extra-content (string-append keys
                                 ;; Besides a port of its own: nodes are reached at this one.
                                 (if (eqv? 22 (openssh-configuration-port-number config)) "" "Port 22\n")
                                 (openssh-configuration-extra-content config)
                                 root))))

(define (other-server? service)
  (memq (service-type-name (service-kind service)) '(dropbear lsh)))

(define (with-ssh-of-node services)
  (let ((services (remove other-server? services)))
    (if (any (lambda (service) (eq? (service-kind service) openssh-service-type)) services)
        (modify-services services
          (openssh-service-type config => (with-keys config)))
        (cons (service openssh-service-type (with-keys (openssh-configuration))) services))))
