;;; The network of a node is what its node document says.  What an operating system has of its own gives way, but for its name
;;; servers, and for networks that are not the machine's main one; a service of its own that provides `networking' provides the rest.
(define-module (compose network)
  #:use-module (gnu services)
  #:use-module (gnu services base)
  #:use-module (gnu services shepherd)
  #:use-module (srfi srfi-1)
  #:export (with-network-of-node))

(define provision (@@ (gnu services base) static-networking-provision))
(define name-servers (@@ (gnu services base) static-networking-name-servers))

(define (of-node networks)
  "NETWORKS without the addresses of the machine that a file was written for."
  (filter-map (lambda (network)
                (cond ((not (memq 'networking (provision network))) network)
                      ((null? (name-servers network)) #f)
                      (else (static-networking
                             (inherit network)
                             (addresses '())
                             (links '())
                             (routes '())
                             (provision '(name-servers))))))
              networks))

(define (networking? service)
  (memq 'networking (shepherd-service-provision service)))

(define (without-networking services)
  (filter-map (lambda (service)
                (let ((rest (delq 'networking (shepherd-service-provision service))))
                  (cond ((not (networking? service)) service)
                        ((null? rest) #f)
                        (else (shepherd-service (inherit service) (provision rest))))))
              services))

(define (brings-networking? service)
  "Whether it is one of the system's own that nothing can extend, such as a simple service."
  (and (not (service-type-extend (service-kind service)))
       (any (lambda (extension)
              (and (eq? (service-extension-target extension) shepherd-root-service-type)
                   (any networking? ((service-extension-compute extension) (service-value service)))))
            (service-type-extensions (service-kind service)))))

(define (extension-of-node extension)
  (let ((target (service-extension-target extension)))
    (define (changed change)
      (service-extension target (compose change (service-extension-compute extension))))
    (cond ((eq? target static-networking-service-type) (changed of-node))
          ((eq? target shepherd-root-service-type) (changed without-networking))
          (else extension))))

(define (service-of-node service*)
  "The same service, where it is static networking, or extends that."
  (let ((kind (service-kind service*)))
    (cond ((eq? kind static-networking-service-type)
           (service kind (of-node (service-value service*))))
          ((or (memq static-networking-service-type (map service-extension-target (service-type-extensions kind)))
               (brings-networking? service*))
           (service (service-type
                     (inherit kind)
                     (extensions (map extension-of-node (service-type-extensions kind))))
                    (service-value service*)))
          (else service*))))

(define (with-network-of-node services)
  (define (other? service)
    (memq (service-type-name (service-kind service)) '(dhcp-client dhcpcd network-manager connman)))
  (map service-of-node (remove other? services)))
