;;; Exports /srv/shared, a data volume, to the network of the deployment.
(use-modules (gnu) (compose setup) (templates base))
(use-service-modules nfs)

(operating-system
  (inherit base-system)
  (services
   (cons (service nfs-service-type
                  (nfs-configuration
                   (exports `(("/srv/shared"
                               ,(string-append (setup "network" "10.87.0.0/16") "(rw,sync,no_root_squash,no_subtree_check)"))))))
         base-services)))
