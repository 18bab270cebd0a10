;;; The network of a node is what its node document says.  What an operating system has of its own gives way, but for its name
;;; servers, and for networks that are not the machine's main one.
(define-module (compose network)
  #:use-module (gnu services)
  #:use-module (gnu services base)
  #:use-module (gnu services shepherd)
  #:use-module (srfi srfi-1)
  #:use-module (srfi srfi-26)
  #:export (with-network-of-node))

(define (service-name service)
  (service-type-name (service-kind service)))

(define (main? network)
  "Whether it is the address of the machine that a file was written for."
  (memq 'networking ((@@ (gnu services base) static-networking-provision) network)))

(define (map-extension procedure target extensions)
  (map (lambda (extension)
         (if (eq? (service-extension-target extension) target)
             (procedure extension)
             extension))
       extensions))

(define static-networking-of-node
  (service-type
   (inherit static-networking-service-type)
   (extensions
    (map-extension (lambda (extension)
                     (service-extension shepherd-root-service-type
                                        (compose (service-extension-compute extension) (cut remove main? <>))))
                   shepherd-root-service-type
                   (service-type-extensions static-networking-service-type)))))

(define (of-node service*)
  "The same service, where it or what it extends is static networking."
  (let ((kind (service-kind service*)))
    (cond ((eq? kind static-networking-service-type)
           (service static-networking-of-node (service-value service*)))
          ((memq static-networking-service-type (map service-extension-target (service-type-extensions kind)))
           (service (service-type
                     (inherit kind)
                     (extensions (map-extension (lambda (extension)
                                                  (service-extension static-networking-of-node
                                                                     (service-extension-compute extension)))
                                                static-networking-service-type
                                                (service-type-extensions kind))))
                    (service-value service*)))
          (else service*))))

(define (with-network-of-node services)
  (map of-node
       (remove (lambda (service) (memq (service-name service) '(dhcp-client dhcpcd network-manager connman)))
               services)))
