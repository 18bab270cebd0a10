;;; The network of a node is what its node document says.  What an operating system has of its own gives way, but for its name
;;; servers, and for networks that are not the machine's main one.
(define-module (compose network)
  #:use-module (gnu services)
  #:use-module (gnu services base)
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

(define (extension-of-node extension)
  (if (eq? (service-extension-target extension) static-networking-service-type)
      (service-extension static-networking-service-type
                         (compose of-node (service-extension-compute extension)))
      extension))

(define (service-of-node service*)
  "The same service, where it is static networking, or extends that."
  (let ((kind (service-kind service*)))
    (cond ((eq? kind static-networking-service-type)
           (service kind (of-node (service-value service*))))
          ((memq static-networking-service-type (map service-extension-target (service-type-extensions kind)))
           (service (service-type
                     (inherit kind)
                     (extensions (map extension-of-node (service-type-extensions kind))))
                    (service-value service*)))
          (else service*))))

(define (with-network-of-node services)
  (define (other? service)
    (memq (service-type-name (service-kind service)) '(dhcp-client dhcpcd network-manager connman)))
  (map service-of-node (remove other? services)))
