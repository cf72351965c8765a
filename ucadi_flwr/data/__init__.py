"""From a site's files to tensors: DICOM, manifests, transforms, sampling, splits, the phantom."""
